"""Models whose every weight matters, as if they were trained, and inputs for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.models.layers import GroupedConv2d


def trained_like(config: GroupDNetConfig, seed: int = 0) -> GroupDNet:
    """A model in which every weight and statistic matters: none is zero, one, or very small."""
    model = GroupDNet(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, GroupedConv2d):
                fan = module.weight[0].numel() ** 0.5
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) / fan)
                if module.bias is not None:
                    module.bias.copy_(0.3 * torch.randn(module.bias.shape, generator=generator))
                if module.spectral_norm:
                    module.find_singular_vectors(generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(0.3 * torch.randn(module.running_mean.shape, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
        # the picture must not sit in the flat ends of tanh
        model.decoder.to_rgb.weight.mul_(0.1)
    return model.eval()


def random_inputs(config: GroupDNetConfig, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(image, label, codes) for a model: two pictures of noise on maps of cells."""
    generator = torch.Generator().manual_seed(seed)
    height, width = config.image_size
    image = torch.rand(2, 3, height, width, generator=generator) * 2 - 1
    cells = torch.randint(0, config.num_classes, (2, height // 4, width // 4), generator=generator)
    label = cells.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return image, label, torch.randn(2, *config.code_shape, generator=generator)
