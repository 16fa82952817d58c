"""Wrong calls of every endpoint, and of every button of the page: each is refused with a sentence, and does no harm."""

from __future__ import annotations

import json
import math
import random
from concurrent.futures import ThreadPoolExecutor
from html import escape, unescape
from typing import Any

import pytest

from tests.helpers.sentences import is_sentence
from tests.helpers.strangers import API, Stranger
from tests.security.conftest import OpenPage

CALLS = 900
# Stands for the address of another server, one that is there.
ELSEWHERE = "http://elsewhere"
_URL = {"path": f"{ELSEWHERE}/a.png", "meta": {"_type": "gradio.FileData"}}
_DEEP: Any = json.loads("[" * 20 + "]" * 20)
# Of each type: what is never of it.
WRONG: dict[str, list[Any]] = {
    "number": [
        "seven",
        "",
        "5",
        math.nan,
        math.inf,
        -math.inf,
        10**300,
        True,
        [],
        [1],
        {},
        {"a": 1},
        _URL,
        _DEEP,
    ],
    "string": [5, math.nan, True, [], ["hair"], {}, {"a": 1}, _URL, _DEEP, -1.5],
    "boolean": ["yes", "", 1, 0, math.inf, [], [True], {}, _URL, _DEEP],
    "filepath": [
        *(
            "a.png",
            "",
            "/etc/passwd",
            f"{ELSEWHERE}/a.png",
            5,
            math.nan,
            True,
            [],
            {},
            None,
            _URL,
            _DEEP,
        ),
        *({"path": path, "meta": {"_type": "gradio.FileData"}} for path in ("/etc/passwd", "..", "", "\0")),
    ],
    "any": [
        "hair",
        "",
        "x" * 5000,
        5,
        math.nan,
        True,
        [5],
        [["hair"]],
        [None],
        {"hair": 5},
        {"a": {}},
        _URL,
        _DEEP,
    ],
}
# What the others are while one is wrong; for a new parameter, what the page says.
RIGHT: dict[str, Any] = {
    "class_name": "hair",
    "colour": "#3366cc",
    "second": "example 2",
    "name": "current",
    "seed": 1,
}


def kind_of(parameter: dict[str, Any]) -> str:
    """Return a key of ``WRONG``."""
    if "path" in parameter["type"].get("properties", {}):
        return "filepath"
    kind = parameter["type"].get("type")
    return kind if isinstance(kind, str) and kind in WRONG else "any"


def wrong_calls(
    endpoints: dict[str, Any], count: int, seed: int, elsewhere: str
) -> list[tuple[str, list[Any], bool]]:
    """Return calls: each endpoint with each wrong value of each parameter, and too few and too many of them.

    Returns:
        Of each call its endpoint, its values, and whether it has to be refused.
    """
    calls: list[tuple[str, list[Any], bool]] = []
    for name, endpoint in endpoints.items():
        parameters = endpoint["parameters"]
        right = [RIGHT.get(one["parameter_name"], one.get("parameter_default")) for one in parameters]
        calls += [(name, [*right, None, None], True), (name, [[*right], *right, {}], True)]
        calls += [(name, right[:-1], True)] if right else []
        for place, parameter in enumerate(parameters):
            kind = kind_of(parameter)
            wrong = [(value, kind != "any") for value in WRONG[kind]]
            calls += [(name, [*right[:place], value, *right[place + 1 :]], sure) for value, sure in wrong]
    draw = random.Random(seed)
    names = [name for name, endpoint in endpoints.items() if endpoint["parameters"]]
    while len(calls) < count:
        name = draw.choice(names)
        kinds = [kind_of(one) for one in endpoints[name]["parameters"]]
        calls.append(
            (name, [draw.choice(WRONG[kind]) for kind in kinds], any(kind != "any" for kind in kinds))
        )
    draw.shuffle(calls)
    return [(name, at(elsewhere, values), sure) for name, values, sure in calls]


def at(elsewhere: str, value: Any) -> Any:
    """Return a value of a call in which this address stands for ``ELSEWHERE``."""
    return json.loads(json.dumps(value).replace(ELSEWHERE, elsewhere))


def test_wrong_calls_of_every_endpoint(open_page: OpenPage, stranger: Stranger, elsewhere: str) -> None:
    endpoints = json.loads(stranger.ask(f"{API}info")[1])["named_endpoints"]
    calls = wrong_calls(endpoints, CALLS, 29, elsewhere)
    assert len(calls) >= CALLS
    assert {name for name, *_ in calls} == set(endpoints)

    def walk(part: int) -> list[str]:
        visitor, faults = Stranger(open_page.address), []
        before = visitor.call("/looks")
        for number, (name, values, must_refuse) in enumerate(calls[part::4]):
            done, answer = visitor.call(name, *values)
            if done if must_refuse else False:
                faults.append(f"{name} took {values!r:.200}")
            if not done and not (is_sentence(answer["error"]) and answer.get("status", 400) < 500):
                faults.append(f"{name} {values!r:.200}: {answer!r:.300}")
            if number % 40 == 0 and visitor.call("/looks") != before:
                faults.append(f"{name} {values!r:.200} changed the session")
        return faults

    with ThreadPoolExecutor(4) as walkers:
        assert [fault for faults in walkers.map(walk, range(4)) for fault in faults] == []


def test_wrong_values_from_the_page_itself(stranger: Stranger, elsewhere: str) -> None:
    """Every function of the page, as its scripts call it, but with anything in the place of what they send."""
    page = json.loads(stranger.ask("/config")[1])
    functions = [one for one in page["dependencies"] if one["backend_fn"]]
    assert len(functions) > 60
    draw, faults = random.Random(29), []
    anything = [value for values in at(elsewhere, WRONG).values() for value in values]
    for function in functions:
        for _ in range(3):
            values = [draw.choice(anything) for _ in function["inputs"]]
            keys = ("index", "locked", "png", "stroke", "keys", "work", "looks", "value", "name", "at")
            event = draw.choice([None, *anything, {key: draw.choice(anything) for key in keys}])
            sent = values[: len(values) - draw.choice((0, 0, 0, 1))]
            done, answer = stranger.press(function["id"], sent, event)
            if not done and not (is_sentence(answer["error"]) and answer.get("status", 400) < 500):
                faults.append(
                    f"{function['id']} {function['api_name']} {sent!r:.300} {event!r:.200}: {answer!r:.300}"
                )
    assert faults == []


@pytest.mark.parametrize(
    ("endpoint", "values", "sentence"),
    [
        ("/sample", ["seven"], "The seed is 'seven': it must be a whole number from 0 to 2147483647."),
        ("/pick", ["x"], "The place is 'x': it must be a whole number from 0."),
        ("/sample", [math.nan], "The seed is nan: it must be a whole number from 0 to 2147483647."),
        ("/at_strength", [math.inf], "The strength is inf: it must be a number from 0 to 1."),
        ("/sample", [], "0 values were sent; this call takes seed."),
        ("/sample", [1, 2, 3], "3 values were sent; this call takes seed."),
        ("/reroll", ["hair", 1, "no"], "The keep_pixels is 'no': it must be true or false."),
        ("/lock", [["shoos"]], "There is no class 'shoos', did you mean 'shoes'?"),
    ],
)
def test_what_is_wrong_and_how_to_mend_it(
    stranger: Stranger, endpoint: str, values: list[Any], sentence: str
) -> None:
    done, answer = stranger.call(endpoint, *values)
    assert not done
    assert answer["error"].startswith(sentence)


def test_what_gradio_refuses_is_escaped_for_the_page_and_bounded(stranger: Stranger) -> None:
    """A list without the value that was sent: gradio's own sentence tells the value."""
    page = json.loads(stranger.ask("/config")[1])
    use = next(one["id"] for one in page["components"] if one["props"].get("elem_id") == "morph-use")
    number = next(one["id"] for one in page["dependencies"] if [use, "click"] in one["targets"])
    for markup in ("<img src=//evil.test/i>", "</p><script>1</script>", "a & b"):
        done, answer = stranger.press(number, [None, markup, "current", 0.5, []])
        assert not done
        assert answer["error"].startswith(
            f"Value: {escape(markup, quote=False)} is not in the list of choices"
        )
        assert is_sentence(answer["error"])
        # Programs, which show no HTML, get the sentence as it is.
        done, answer = stranger.call("/morph", markup, "current", 0.5, None)
        assert not done
        assert markup in answer["error"]
    for long in ("<" * 5000, "\u202e\n" * 2000):
        done, answer = stranger.press(number, [None, long, "current", 0.5, []])
        assert not done
        assert is_sentence(unescape(answer["error"]))


@pytest.mark.slow
@pytest.mark.long
def test_5000_wrong_calls_leave_a_short_log(open_page: OpenPage, stranger: Stranger, elsewhere: str) -> None:
    endpoints = json.loads(stranger.ask(f"{API}info")[1])["named_endpoints"]
    before = open_page.log.stat().st_size
    for name, values, _ in wrong_calls(endpoints, 5000, 30, elsewhere):
        stranger.call(name, *values)
    # 60 lines of a level at once, and one a minute after that, each of at most 500 bytes.
    assert open_page.log.stat().st_size - before < 500_000
