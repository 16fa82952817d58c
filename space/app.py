"""The GroupDNet page: ``python space/app.py`` serves it on port 7860."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

# Before gradio is imported: nothing is sent anywhere, and no pictures are recorded in the visitor's browser.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_RUN_HISTORY", "False")
# Nor does it remember every call, to make a table of all of them after each: memory would grow with the calls.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
# Whom a request comes from is what GROUPDNET_PROXIES says; uvicorn would believe every program of this machine.
os.environ.setdefault("FORWARDED_ALLOW_IPS", "")

try:
    # gradio reads it too, while it is imported.
    PORT = os.environ.get("GRADIO_SERVER_PORT", "7860")
    if not PORT.isdecimal():
        sys.exit(
            f"The page cannot be served: GRADIO_SERVER_PORT is {PORT!r}; it must be a port number, such as 7860."
        )

    import gradio as gr
    from fastapi import Depends
    from gradio.components import Navbar
    from page.core import gpu  # noqa: F401  (before torch is imported by anything else)
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

    import groupdnet_hub  # noqa: F401
except ModuleNotFoundError as error:
    if error.name not in ("gradio", "torch", "groupdnet_hub"):
        raise
    sys.exit(
        f'The page needs {error.name}: pip install "groupdnet-hub[space]", or pip install -e ".[space]" in a clone.'
    )

from page.core.budget import check_memory
from page.core.example_maps import ExamplesError, check_examples
from page.core.memory.work_bytes import work_bytes
from page.core.model_thread import ModelThread
from page.core.photo_reading.parser import PhotoParser
from page.core.studio import IGNORED, Studio
from page.human_eval.asking import Interview, raters_from_environment
from page.human_eval.evaluation import Evaluation, answers_of_environment
from page.human_eval.page import MAIN_PAGE, add_evaluation_page
from page.human_eval.results import ResultsKey, add_results_page, csv_route, export_answers
from page.human_eval.signing import Signer
from page.server.allocator import keep_memory_flat
from page.server.crowds.guards import guard
from page.server.crowds.limits import Limits
from page.server.disk import TemporaryRoot, keep_files_in_one_folder, limit_from_environment, list_no_files
from page.server.headers import SafeHeaders, frame_ancestors
from page.server.link_preview import preview_picture, preview_routes, with_preview
from page.server.preloads import with_preloads
from page.server.refusals.answers import Sentences, handlers
from page.server.refusals.calls import CheckedBlocks
from page.server.refusals.lines import keep_log_bounded
from page.server.refusals.requests import checks, empty_routes
from page.server.transfer import LightTransfer
from page.server.upload_room import UploadRoom, note_parts_of_uploads
from page.server.uploads import OwnUploads
from page.ui.endpoints import add_endpoints_page
from page.ui.events import FILMS
from page.ui.layout import add_studio
from page.ui.theme import STYLES, proportions, theme

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.runs.flags import FlagParser
from groupdnet_hub.runs.ignored import read_ignored
from groupdnet_hub.runs.scripts import is_clone, program

HERE = Path(__file__).resolve().parent
# Each folder in it holds a further model, which has a page of its own beside the bundled one's.
MORE_MODELS = HERE / "models"
# Of the human evaluation: an installed package is not written to.
ANSWERS = (HERE if is_clone() else Path.cwd()) / "answers.sqlite3"


def open_studio() -> Studio:
    """Return the model named by ``GROUPDNET_MODEL``, or the bundled one, with its example maps.

    A name is a folder, that of a folder in ``space/models``, or a Hub id. A folder is looked for in the current one
    and beside ``space``, so that ``space/models/people16`` is found wherever the page is started.

    The maps are those of the folder ``GROUPDNET_EXAMPLES``, or the bundled ones if they are of the model's classes. In
    them and in uploaded ones, what ``GROUPDNET_IGNORE_ID`` lists is unknown too.

    Raises:
        FileNotFoundError, ValueError, OSError: if its configuration cannot be read, and for ids and colours that cannot
            be ignored.
        ExamplesError: if ``GROUPDNET_EXAMPLES`` does not fit the model.
    """
    source = _named_model(os.environ.get("GROUPDNET_MODEL", ""))
    if not source:
        source = str(HERE / "model")
        if not (HERE / "model").is_dir():
            raise FileNotFoundError(
                f"there is no folder {source}: put the bundled model there, or name another one, "
                "GROUPDNET_MODEL=FOLDER_OR_HUB_ID"
            )
    named = os.environ.get("GROUPDNET_EXAMPLES")
    studio = Studio(source, Path(named) if named else HERE / "examples", ignored=_ignored())
    if named:
        check_examples(Path(named), studio.labels, studio.size)
    studio.parser = PhotoParser.from_environment(studio.labels)
    return studio


def _named_model(name: str) -> str:
    """Return the folder that a name means, if there is one; else the name, which may be a Hub id."""
    if not name or Path(name).is_dir():
        return name
    bundled = (folder for folder in (MORE_MODELS / name, HERE.parent / name) if folder.is_dir())
    return str(next(bundled, name))


def _ignored() -> tuple[Ignored, ...]:
    """Return the ids and colours of unknown pixels that ``GROUPDNET_IGNORE_ID`` lists, such as ``255 #e0e0c0``."""
    return read_ignored(IGNORED, os.environ.get(IGNORED, "").split())


def open_more_studios(worker: ModelThread | None = None) -> dict[str, Studio]:
    """Return the models of ``space/models`` by the names of their folders; none where ``GROUPDNET_MODEL`` names one.

    Args:
        worker: the thread in which they draw, which another studio may share with them.

    Raises:
        FileNotFoundError, ValueError, OSError: if the configuration of one cannot be read.
    """
    if os.environ.get("GROUPDNET_MODEL"):
        return {}
    folders = sorted(path.parent for path in MORE_MODELS.glob("*/config.json"))
    worker, ignored = worker or ModelThread(), _ignored()
    studios = {
        folder.name: Studio(str(folder), HERE / "examples", ignored=ignored, worker=worker)
        for folder in folders
    }
    for studio in studios.values():
        studio.parser = PhotoParser.from_environment(studio.labels)
    return studios


def build_page(
    studio: Studio,
    interview: Interview | None = None,
    more: Mapping[str, Studio] | None = None,
    results_key: ResultsKey | None = None,
) -> gr.Blocks:
    """Lay out the studio, those of further models at the addresses they are named by, and the human evaluation's pages.

    Args:
        studio: the one that the page opens with.
        interview: what raters are asked.
        more: further ones by their addresses, loaded when their pages are visited; only ``studio`` has endpoints.
        results_key: of the results of the interview; by default nobody sees them.
    """
    with CheckedBlocks(title="GroupDNet") as page:
        Navbar(main_page_name=MAIN_PAGE)
        add_studio(page, studio)
    for address, other in (more or {}).items():
        height, width = other.size
        with page.route(f"{len(other.labels)} classes, {height} x {width}", address):
            Navbar(main_page_name=MAIN_PAGE)
            gr.HTML(f"<style>{proportions(other.size)}</style>", apply_default_css=False, padding=False)
            add_studio(page, other)
    if interview is not None and interview.evaluation.studies:
        with page.route("Human evaluation", "evaluation"):
            add_evaluation_page(page, interview)
        # Raters are not shown the way to the results.
        with page.route("Results of the human evaluation", "evaluation-results", show_in_navbar=False):
            add_results_page(interview.evaluation.answers, interview.signer, results_key or ResultsKey(""))
    with page.route("For programs", "programs"):
        Navbar(main_page_name=MAIN_PAGE)
        add_endpoints_page(studio)
    return page


def main(argv: Sequence[str] = ()) -> None:
    """Serve the page; the model is loaded while it starts."""
    flags = FlagParser(
        prog=program("app.py"),
        description="Open the page on http://localhost:7860.",
        epilog="Environment variables say what it shows, GROUPDNET_MODEL (a folder, the name of a bundled model, or a "
        "Hub id) and GROUPDNET_EXAMPLES (a folder of label maps), and where, GRADIO_SERVER_NAME and "
        "GRADIO_SERVER_PORT. space/README.md lists them all.",
    )
    flags.add_argument(
        "--export_answers",
        metavar="FILE",
        type=Path,
        help="write the answers of the human evaluation as CSV, and serve nothing",
    )
    exported = flags.parse_args(argv).export_answers
    answers = answers_of_environment(ANSWERS)
    try:
        signer = Signer.beside(answers.path)
        if exported is not None:
            export_answers(answers, signer, exported)
            return
    except (ValueError, OSError) as error:
        sys.exit(f"The answers cannot be exported: {error}" if exported else str(error))
    try:
        limits, framed_by = Limits.from_environment(), frame_ancestors()
        results_key, raters_per_hour = ResultsKey.from_environment(), raters_from_environment()
        room = limit_from_environment()
    except ValueError as error:
        sys.exit(f"The page cannot be served: {error}")
    try:
        studio = open_studio()
        more = open_more_studios(studio.worker)
        check_memory({one.source: one.config.cost for one in (studio, *more.values())})
    except ExamplesError as error:
        sys.exit(f"The example maps (GROUPDNET_EXAMPLES) cannot be used: {error}")
    except (ValueError, OSError) as error:
        sys.exit(f"The model cannot be loaded: {error}")
    try:
        evaluation = Evaluation.from_environment(studio, studio.examples_folder, answers)
    except (ValueError, OSError) as error:
        sys.exit(f"The human evaluation cannot be held: {error}")
    keep_memory_flat()
    try:
        with keep_log_bounded(), note_parts_of_uploads(), keep_files_in_one_folder(room) as root:
            page = build_page(studio, Interview(evaluation, signer, raters_per_hour), more, results_key)
            # A failure is told to the visitor who asks for the first picture as well.
            threading.Thread(target=studio.warm_up, daemon=True).start()
            serve(page, studio, limits, framed_by, root, csv_route(answers, signer, results_key))
    except OSError as error:
        sys.exit(f"The page cannot be served: {error}")


def serve(
    page: gr.Blocks,
    studio: Studio,
    limits: Limits,
    framed_by: tuple[str, ...],
    root: TemporaryRoot,
    *routes: BaseRoute,
) -> None:
    """Serve a page until the process is told to end.

    Args:
        page: see :func:`build_page`.
        studio: the one that the page opens with.
        limits: what visitors may ask for.
        framed_by: who may show the page in theirs.
        root: where uploads and pictures go.
        routes: further ones than the page's.

    Raises:
        OSError: if the port cannot be listened at.
    """
    # Calls that pass the queue by would change a session at once.
    page.queue(max_size=limits.queue, api_open=False)
    list_no_files(page)
    guards = guard(page, limits, work_bytes, FILMS["concurrency_id"])
    picture = preview_picture()
    try:
        page.launch(
            server_name=os.environ.get("GRADIO_SERVER_NAME"),
            server_port=int(PORT),
            theme=theme(),
            css_paths=STYLES,
            css=proportions(studio.size),
            footer_links=["api", "settings"],
            # JPEGs of 50 megapixels have 10 to 30 MB.
            max_file_size="40mb",
            ssr_mode=False,
            app_kwargs={
                "routes": [*preview_routes(picture), *empty_routes(), *routes],
                "lifespan": guards.lifespan,
                # Which lists gradio's routes, for other pages than this one.
                "openapi_url": None,
                "dependencies": [Depends(checks(page))],
                "exception_handlers": handlers(),
                "middleware": [
                    Middleware(Sentences),
                    *guards.middleware,
                    Middleware(UploadRoom, root=root),
                    Middleware(LightTransfer, changes=[with_preloads(page.config), with_preview(picture)]),
                    Middleware(SafeHeaders, framed_by=framed_by),
                    Middleware(OwnUploads),
                ],
            },
        )
    except OSError as error:
        raise OSError(f"{error} (GRADIO_SERVER_PORT chooses the port)") from error


if __name__ == "__main__":
    main(sys.argv[1:])
