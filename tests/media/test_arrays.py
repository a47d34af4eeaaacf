from __future__ import annotations

import numpy
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qwenvl_kit import MediaPolicy, Size
from qwenvl_kit.errors import MediaArrayError, MediaSizeError
from qwenvl_kit.media.images import decode_image, measure_image

POLICY = MediaPolicy()
RGB = numpy.arange(5 * 7 * 3, dtype="uint8").reshape(5, 7, 3)


def _decoded(source):
    return numpy.asarray(decode_image(source, POLICY))


@given(arrays.arrays("uint8", st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
@settings(max_examples=50)
def test_an_array_of_bytes_keeps_every_value(array):
    assert numpy.array_equal(_decoded(array), array)
    assert measure_image(array, POLICY) == Size(array.shape[0], array.shape[1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_from_0_to_1_are_the_same_picture_as_bytes(dtype):
    floats = (RGB / 255.0).astype(dtype)
    assert numpy.abs(_decoded(floats).astype(int) - RGB).max() <= (1 if dtype == "float16" else 0)


def test_floats_are_rounded_to_the_nearest_byte():
    assert _decoded(numpy.array([[0.999, 0.001, 0.5]]))[0, :, 0].tolist() == [255, 0, 128]


def test_grey_comes_with_or_without_an_axis_for_its_channel():
    grey = RGB[:, :, 0]
    expected = numpy.repeat(grey[:, :, None], 3, axis=2)
    assert numpy.array_equal(_decoded(grey), expected)
    assert numpy.array_equal(_decoded(grey[:, :, None]), expected)


def test_the_alpha_of_an_array_lands_on_white():
    rgba = numpy.zeros((2, 2, 4), "uint8")
    rgba[0, :, 3] = 255
    assert _decoded(rgba)[:, 0, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    "array",
    [
        RGB[::2, ::-1],
        RGB[:, :, ::-1],
        numpy.asfortranarray(RGB),
        RGB.transpose(1, 0, 2),
        numpy.broadcast_to(RGB[:1, :1], (4, 6, 3)),
        (RGB / 255.0)[::-1, 1:-1],
    ],
)
def test_an_array_need_not_lie_in_one_piece(array):
    solid = numpy.ascontiguousarray(array)
    assert numpy.array_equal(_decoded(array), _decoded(solid))


def test_an_array_that_cannot_be_written_is_read():
    array = RGB.copy()
    array.setflags(write=False)
    assert numpy.array_equal(_decoded(array), RGB)


@pytest.mark.parametrize("scale", [1, 255.0])
def test_a_users_array_stays_as_it_was(scale):
    array = RGB / scale if scale != 1 else RGB.copy()
    before = array.copy()
    image = decode_image(array, POLICY)
    image.paste("red", (0, 0, 3, 3))
    assert numpy.array_equal(array, before)


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (RGB.transpose(2, 0, 1), "transpose(1, 2, 0)"),
        (RGB[None], "one picture at a time"),
        (RGB[:, :, :2], ""),
        (numpy.zeros((4, 4, 5), "uint8"), ""),
        (numpy.zeros(12, "uint8"), ""),
        (numpy.array(3, "uint8"), ""),
        (numpy.zeros((1, 1, 4, 4, 3), "uint8"), ""),
    ],
)
def test_an_array_with_wrong_axes_is_refused_with_the_right_ones(array, hint):
    with pytest.raises(MediaArrayError) as caught:
        measure_image(array, POLICY)
    assert str(array.shape) in caught.value.problem
    assert "(H, W, C)" in caught.value.expected
    assert hint in caught.value.hint


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint16", "bool", "complex64", "object", "U1"])
def test_an_array_of_another_type_is_refused_with_the_right_ones(dtype):
    with pytest.raises(MediaArrayError) as caught:
        decode_image(numpy.zeros((4, 4, 3), dtype), POLICY)
    assert "uint8" in caught.value.expected


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf, -0.01, 1.01, 255.0])
def test_floats_outside_0_to_1_are_refused(value):
    array = numpy.full((4, 4, 3), 0.5)
    array[2, 1, 0] = value
    with pytest.raises(MediaArrayError, match=r"expected finite values in \[0, 1\]"):
        decode_image(array, POLICY)


RAMP = numpy.linspace(0, 1, 64 * 48).reshape(48, 64)


def _spread(low: float, high: float, dtype: str):
    return (RAMP * (high - low) + low).astype(dtype)


def _holes(array, value):
    array = array.copy()
    array[4:8] = value
    return array


CURED = {
    "mask": (RAMP > 0.5, "(array * 255).astype('uint8')"),
    "mask of integers": ((RAMP > 0.5).astype("int64"), "(array * 255).astype('uint8')"),
    "bytes in integers": (_spread(0, 255, "int64"), "array.astype('uint8')"),
    "classes": (_spread(0, 7, "int64"), "/ 7 * 255"),
    "16 bits": (_spread(0, 65535, "uint16"), "(array.astype('float64') / 257).astype('uint8')"),
    "16 bits in integers": (_spread(0, 65535, "int32"), "/ 257"),
    "12 bits": (_spread(0, 4095, "uint16"), "/ 4095"),
    "millimetres": (_spread(0, 10_000, "int32"), "/ 10000"),
    "Hounsfield": (_spread(-1000, 3000, "int16"), "- -1000) / 4000"),
    "signed bytes": (_spread(-128, 127, "int8"), "- -128) / 255"),
    "overshoot": (_spread(0, 1.0000001, "float64"), "array.clip(0, 1)"),
    "bicubic": (_spread(-0.33, 1.37, "float32"), "array.clip(0, 1)"),
    "minus 1 to 1": (_spread(-1, 1, "float32"), "(array + 1) / 2"),
    "bytes in floats": (numpy.rint(_spread(0, 255, "float32")), "(array / 255).clip(0, 1)"),
    "between bytes": (_spread(0, 254.7, "float32"), "(array / 255).clip(0, 1)"),
    "metres": (_spread(0, 5, "float32"), "(array / 5.0).clip(0, 1)"),
    "normalised": (_spread(-2.1, 2.6, "float64"), "(array - -2.1)"),
    "holes": (_holes(_spread(0, 1, "float32"), numpy.nan), "numpy.nan_to_num(array, nan=0"),
    "far away": (_holes(_spread(0, 5, "float32"), numpy.inf), "posinf=5.0"),
    "nothing": (numpy.zeros((4, 4), "int64"), "(array * 255).astype('uint8')"),
    "all alike": (numpy.full((4, 4), 7.5), "(array / 7.5).clip(0, 1)"),
}


@pytest.mark.parametrize("name", CURED)
def test_the_hint_of_an_array_is_code_that_gives_the_picture(name):
    array, expected = CURED[name]
    with pytest.raises(MediaArrayError) as caught:
        decode_image(array, POLICY)
    assert expected in caught.value.hint
    cured = _decoded(eval(caught.value.hint, {"array": array, "numpy": numpy}))[:, :, 0]
    sound = numpy.isfinite(array)
    order = numpy.argsort(numpy.asarray(array, "float64")[sound], kind="stable")
    assert (numpy.diff(cured[sound][order].astype(int)) >= 0).all()
    if array.max() > array.min():
        assert (cured[sound].min(), cured[sound].max()) == (0, 255)
    assert "dtype" not in caught.value.hint


@pytest.mark.parametrize("name", [name for name in CURED if name != "nothing"])
def test_the_hint_of_a_tensor_gives_the_same_picture(name):
    torch = pytest.importorskip("torch")
    array, _ = CURED[name]
    tensor = torch.from_numpy(array.copy())
    hints = []
    for source in (array, tensor):
        with pytest.raises(MediaArrayError) as caught:
            decode_image(source, POLICY)
        hints.append(caught.value.hint)
    names = {"array": array, "numpy": numpy, "tensor": tensor}
    pixels = [_decoded(eval(hint, names)).astype(int) for hint in hints]
    assert numpy.abs(pixels[0] - pixels[1]).max() <= 1


def test_values_under_a_mask_are_not_shown():
    array = numpy.ma.masked_array(RGB.copy(), mask=RGB > 50)
    with pytest.raises(MediaArrayError) as caught:
        decode_image(array, POLICY)
    assert _decoded(eval(caught.value.hint, {"array": array})).max() == 50
    assert numpy.array_equal(_decoded(numpy.ma.masked_array(RGB)), RGB)


def test_values_that_are_all_nan_have_no_cure():
    with pytest.raises(MediaArrayError) as caught:
        decode_image(numpy.full((4, 4), numpy.nan), POLICY)
    assert caught.value.hint == ""


def test_blue_first_as_opencv_has_it_is_turned_by_what_the_guide_says():
    bgr = RGB[:, :, ::-1]
    assert numpy.array_equal(_decoded(bgr[..., ::-1]), RGB)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (0, 0), (0, 4, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_array_without_pixels_is_refused(shape, dtype):
    with pytest.raises(MediaSizeError, match="no pixels"):
        measure_image(numpy.zeros(shape, dtype), POLICY)


class TestTensors:
    @pytest.fixture(autouse=True)
    def _torch(self):
        self.torch = pytest.importorskip("torch")

    def test_a_tensor_has_its_channels_first(self):
        tensor = self.torch.from_numpy(RGB.copy()).permute(2, 0, 1)
        assert numpy.array_equal(_decoded(tensor), RGB)
        assert measure_image(tensor, POLICY) == Size(5, 7)

    def test_a_tensor_of_floats_of_every_kind_is_read(self):
        for dtype in ("float16", "bfloat16", "float32", "float64"):
            tensor = self.torch.tensor([[0.0, 1.0]], dtype=getattr(self.torch, dtype))
            assert _decoded(tensor)[0, :, 0].tolist() == [0, 255]

    def test_a_tensor_that_is_being_trained_is_read(self):
        tensor = self.torch.full((3, 2, 2), 0.5, requires_grad=True)
        assert _decoded(tensor).shape == (2, 2, 3)

    def test_a_users_tensor_stays_as_it_was(self):
        tensor = self.torch.from_numpy(RGB.copy()).permute(2, 0, 1)
        before = tensor.clone()
        decode_image(tensor, POLICY).paste("red", (0, 0, 3, 3))
        assert self.torch.equal(tensor, before)

    def test_a_tensor_with_its_channels_last_is_refused_with_the_turn_it_needs(self):
        with pytest.raises(MediaArrayError, match=r"permute\(2, 0, 1\)"):
            measure_image(self.torch.from_numpy(RGB.copy()), POLICY)

    def test_a_tensor_without_values_of_its_own_is_refused(self):
        for tensor in (
            self.torch.zeros(3, 4, 4, device="meta"),
            self.torch.zeros(4, 4).to_sparse(),
        ):
            with pytest.raises(MediaArrayError):
                decode_image(tensor, POLICY)


def test_a_decoded_array_is_a_picture_of_pillow():
    assert isinstance(decode_image(RGB, POLICY), PIL.Image.Image)


def test_measuring_an_array_looks_at_its_shape_alone():
    assert measure_image(numpy.full((4, 6, 3), numpy.nan), POLICY) == Size(4, 6)
