import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cyclegan.engines.rewrite import rewrite
from cyclegan.networks import Generator


@pytest.mark.parametrize("winograd", [False, True])
@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize(("compact", "grey"), [(False, False), (True, True)])
def test_a_rewritten_generator_is_the_same_function(
    winograd: bool, padding: str, upsample: str, compact: bool, grey: bool
) -> None:
    torch.manual_seed(0)
    generator = Generator(4, 2, padding, upsample, compact, grey).eval()  # type: ignore[arg-type]
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    rewritten = rewrite(generator, winograd)
    for height, width in ((2, 2), (4, 3), (8, 5)) if winograd else ((2, 2), (3, 5)):
        pictures = torch.rand(2, 3, height * generator.multiple, width * generator.multiple) * 2 - 1
        with torch.inference_mode():
            made, wanted = rewritten(pictures), generator(pictures)
        assert wanted.std() > 0.1
        assert (made - wanted).abs().max() < 1e-5
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())


@pytest.mark.parametrize(
    ("generator", "winograd", "share"),
    [(Generator(), True, 0.72), (Generator(32, 6, upsample="resize", compact=True), False, 0.95)],
    ids=["full", "compact"],
)
def test_it_multiplies_less(generator: Generator, winograd: bool, share: float) -> None:
    work = []
    for network in (generator, rewrite(generator, winograd)):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(torch.zeros(1, 3, 64, 64))
        work.append(counter.get_total_flops())
    assert work[1] < share * work[0]
