"""mIoU and pixel accuracy by hand, a segmentation model from a folder, and what a system costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.data.people import PEOPLE, PEOPLE16
from groupdnet_hub.metrics import (
    Estimate,
    LabelTable,
    SegmentationMeter,
    Segmenter,
    count_macs,
    count_parameters,
    frames_per_second,
)
from tests.helpers.evaluate_runs import write_segmenter
from tests.helpers.synthetic_systems import LABELS

NAMES = LABELS.names  # sky, house, road, tree
LABEL = torch.tensor([[0, 0, 0], [1, 1, 2]])
PREDICTED = torch.tensor([[0, 0, 1], [1, 2, 2]])


def test_scores_of_a_confusion_matrix_made_by_hand() -> None:
    meter = SegmentationMeter(NAMES)
    meter.update(0, LABEL, PREDICTED)
    assert meter.confusion.dtype == torch.int64
    assert meter.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    found = meter.result()
    assert [one.value for one in found.iou.values()] == pytest.approx([2 / 3, 1 / 3, 1 / 2, None])
    assert found.miou.value == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 3)  # no tree anywhere: it has no IoU
    assert found.pixel_accuracy.value == pytest.approx(4 / 6)
    assert found.miou.interval is None


def test_ignored_classes_are_left_out() -> None:
    meter = SegmentationMeter(NAMES, ignored=[1])
    meter.update(0, LABEL, PREDICTED)
    found = meter.result()
    assert found.ignored == ("house",)
    # The two pixels of a true house are gone; the sky pixel taken for a house still counts against the sky.
    assert found.iou["sky"].value == pytest.approx(2 / 3)
    assert found.iou["road"].value == pytest.approx(1)
    assert found.iou["house"] == Estimate(None)
    assert found.miou.value == pytest.approx((2 / 3 + 1) / 2)
    assert found.pixel_accuracy.value == pytest.approx(3 / 4)
    nothing = SegmentationMeter(NAMES, ignored=[0])
    nothing.update(0, torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.int64))
    assert nothing.result().miou == Estimate(None)
    assert nothing.result().pixel_accuracy == Estimate(None)


def test_images_add_up_and_shards_merge() -> None:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 4, (2, 6, 6), generator=generator) for _ in range(6)]
    whole = SegmentationMeter(NAMES)
    shards = [SegmentationMeter(NAMES) for _ in range(2)]
    for index, (label, predicted) in enumerate(images):
        whole.update(index, label, predicted)
        shards[index % 2].update(index, label, predicted)
    shards[1].merge(shards[0])
    assert shards[1].result() == whole.result()
    assert torch.equal(shards[1].confusion, whole.confusion)
    confusion = whole.confusion.double()
    iou = confusion.diag() / (confusion.sum(0) + confusion.sum(1) - confusion.diag())
    assert whole.result().miou.value == pytest.approx(float(iou.mean()))
    low, high = whole.result().miou.interval
    assert low < float(iou.mean()) < high


def test_what_cannot_be_counted_is_refused() -> None:
    meter = SegmentationMeter(NAMES)
    with pytest.raises(ValueError, match=r"the label map is \(2, 3\) and the prediction \(2, 2\)"):
        meter.update(0, LABEL, PREDICTED[:, :2])
    with pytest.raises(ValueError, match="the prediction holds ids from 0 to 4"):
        meter.update(0, LABEL, LABEL * 2)
    meter.update(0, LABEL, PREDICTED)
    with pytest.raises(ValueError, match="counted already"):
        meter.update(0, LABEL, PREDICTED)
    for ignored in ([4], [0, 1, 2, 3]):
        with pytest.raises(ValueError, match="the ignored classes are"):
            SegmentationMeter(NAMES, ignored=ignored)


# -- a segmentation model and its table --------------------------------------------------------------------------

THEIR_LABELS = ("wall", "sky above", "clouds", "street", "oak")


@pytest.fixture(scope="module")
def segformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("segformer")
    write_segmenter(folder, THEIR_LABELS)
    return folder


def write_table(folder: Path, **entries: object) -> Path:
    path = folder / "table.json"
    path.write_text(json.dumps(entries))
    return path


TABLE = {"sky above": "sky", "clouds": "sky", "street": "road", "oak": "tree"}


def test_a_model_from_a_folder_answers_in_our_classes(segformer: Path, tmp_path: Path) -> None:
    table = LabelTable.from_file(write_table(tmp_path, labels=TABLE, ignored=["house"]), LABELS)
    segmenter = Segmenter(segformer, table)
    pictures = torch.randint(
        0, 256, (2, 3, 48, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    found = segmenter(pictures)
    assert found.shape == (2, 48, 40)
    # Each of their labels alone on top: it comes back as what it stands for, and the wall, of which the table
    # says nothing, is never the answer.
    bias = segmenter.network.decode_head.classifier.bias
    for position, expected in ((1, 0), (2, 0), (3, 2), (4, 3)):
        bias.data.zero_()[position] = 1e3
        bias.data[0] = 1e6
        assert (segmenter(pictures) == expected).all()


def test_probabilities_are_added_up_by_class(segformer: Path, tmp_path: Path) -> None:
    table = LabelTable.from_file(write_table(tmp_path, labels=TABLE, ignored=["house"]), LABELS)
    segmenter = Segmenter(segformer, table)
    segmenter.network.decode_head.classifier.weight.data.zero_()
    segmenter.network.decode_head.classifier.bias.data.zero_()
    probabilities = segmenter.probabilities(torch.zeros(1, 3, 32, 24, dtype=torch.uint8))
    assert probabilities.shape == (1, len(LABELS.names), 32, 24)
    # Four labels of the table, alike: the sky has two of them, the house has none.
    assert probabilities[0, :, 0, 0].tolist() == pytest.approx([0.5, 0, 0.25, 0.25])


def test_a_table_of_the_same_names(segformer: Path) -> None:
    labels = LabelSet.from_names(list(reversed(THEIR_LABELS)))
    segmenter = Segmenter(segformer, LabelTable.same_names(labels))
    segmenter.network.decode_head.classifier.bias.data[THEIR_LABELS.index("oak")] = 1e6
    assert (segmenter(torch.zeros(1, 3, 32, 24, dtype=torch.uint8)) == 0).all(), "the oak is our first"


def test_a_model_of_sixteen_classes_of_people_serves_the_eight(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    write_segmenter(tmp_path / "sixteen", PEOPLE16.names)
    table = LabelTable.of_model(tmp_path / "sixteen", PEOPLE)
    for theirs, ours in (
        ("outerwear", "top-clothes"),
        ("glasses", "face"),
        ("bag", "background"),
        ("shoes", "shoes"),
    ):
        assert table.targets[theirs] == PEOPLE.id_of(ours)
    segmenter = Segmenter(tmp_path / "sixteen", table)
    segmenter.network.decode_head.classifier.weight.data.zero_()
    segmenter.network.decode_head.classifier.bias.data.zero_()
    probabilities = segmenter.probabilities(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert probabilities[0, PEOPLE.id_of("top-clothes"), 0, 0].item() == pytest.approx(4 / 16)
    assert LabelTable.of_model(tmp_path / "sixteen", PEOPLE16) == LabelTable.same_names(PEOPLE16)
    with pytest.raises(ValueError, match="cannot be loaded"):
        LabelTable.of_model(tmp_path / "absent", PEOPLE)


def test_pictures_keep_their_proportions(segformer: Path) -> None:
    """The network sees a picture padded with its border to the processor's proportions, and the answer is cut back."""
    labels = LabelSet.from_names(list(THEIR_LABELS))
    segmenter = Segmenter(segformer, LabelTable.same_names(labels))
    segmenter.processor.size = {"height": 64, "width": 64}
    upright = torch.randint(
        0, 256, (1, 3, 64, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    square = torch.nn.functional.pad(upright.float(), (16, 16, 0, 0), mode="replicate").to(torch.uint8)
    expected = segmenter.probabilities(square)[..., 16:48]
    assert torch.equal(segmenter.probabilities(upright), expected)


def test_a_table_that_does_not_fit_is_refused(segformer: Path, tmp_path: Path) -> None:
    def read(**entries: object) -> LabelTable:
        return LabelTable.from_file(write_table(tmp_path, **entries), LABELS)

    with pytest.raises(ValueError, match=r"table\.json: no label stands for house: map one"):
        read(labels=TABLE)
    with pytest.raises(ValueError, match="did you mean 'road'"):
        read(labels={**TABLE, "street": "roads"}, ignored=["house"])
    with pytest.raises(ValueError, match="stand for the ignored classes tree"):
        read(labels=TABLE, ignored=["house", "tree"])
    with pytest.raises(ValueError, match="unknown entries ignore"):
        read(labels=TABLE, ignore=["house"])
    with pytest.raises(ValueError, match="not a table of labels"):
        read(names=TABLE)
    with pytest.raises(ValueError, match="all classes are ignored"):
        read(labels={}, ignored=list(NAMES))
    with pytest.raises(ValueError, match="there is no file"):
        LabelTable.from_file(tmp_path / "none.json", LABELS)
    table = read(labels={**TABLE, "fjord": "sky"}, ignored=["house"])
    with pytest.raises(ValueError, match="has no label fjord; it has wall, sky above"):
        Segmenter(segformer, table)
    with pytest.raises(ValueError, match="cannot be loaded"):
        Segmenter(tmp_path, table, local_files_only=True)


# -- cost --------------------------------------------------------------------------------------------------------


def test_cost_of_one_convolution_is_known() -> None:
    class OneConvolution(torch.nn.Module):
        labels, has_class_codes, device = LABELS, False, torch.device("cpu")

        def __init__(self) -> None:
            super().__init__()
            with torch.random.fork_rng(devices=[]):
                self.convolution = torch.nn.Conv2d(4, 3, 3, padding=1)

        def prepare(self, label, instance=None):
            return label

        def sample_codes(self, batch=1, *, generator=None, label_size=None):
            return torch.zeros(batch, 4, *label_size)

        def decode(self, codes, label, instance=None):
            return self.convolution(codes)

    system = OneConvolution()
    label = torch.zeros(1, 8, 10, dtype=torch.int64)
    assert count_parameters(system) == 4 * 3 * 9 + 3
    assert count_macs(system, label) == 4 * 3 * 9 * 8 * 10
    assert frames_per_second(system, label, decodes=2) > 0
    with pytest.raises(ValueError, match="time at least 1"):
        frames_per_second(system, label, decodes=0)


def test_a_model_counts_encoder_and_decoder_and_times_both_ways() -> None:
    model = GroupDNet(GroupDNetConfig.for_labels(LABELS, image_size=(32, 32), width=8)).eval()
    parts = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder)]
    assert count_parameters(model) == sum(parts)
    label = torch.zeros(1, 32, 32, dtype=torch.int64)
    assert count_macs(model, label) > 1e6
    for prepared in (False, True):
        assert frames_per_second(model, label, prepared=prepared, decodes=2, warm_up=1) > 0
