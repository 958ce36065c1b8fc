"""Ranges of formula weights with which every layer gives values of about unit variance."""

import numpy as np
import torch
from torch import nn

import formula


def spread(net, *inputs):
    """Gives `net` weights of the formula, in the order in which `inputs` meet its layers; the scale and offset of each
    tensor's values."""
    ranges = {}
    names = {module: name for name, module in net.named_modules()}
    last = [module for module in net.modules() if isinstance(module, (nn.Conv3d, nn.Linear))][-1]

    def assign(module, key, scale, offset):
        name = f"{names[module]}.{key}"
        ranges[name] = (rounded(scale), rounded(offset))
        tensor = getattr(module, key)
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(formula.weights(name, tuple(tensor.shape), *ranges[name])))

    def before(module, inputs):
        x = inputs[0]
        if isinstance(module, nn.BatchNorm3d):
            variance, mean = float(x.var((0, 2, 3, 4)).mean()), float(x.mean())
            assign(module, "running_mean", 0.5 * variance**0.5, mean)
            assign(module, "running_var", 0.6 * variance, variance)
            assign(module, "weight", 0.5, 1.0)
            assign(module, "bias", 0.4, 0.0)
        else:
            if module.bias is not None:
                assign(module, "bias", 0.0, 0.0)
            assign(module, "weight", (6 / module.weight[0].numel()) ** 0.5, 0.0)

    def after(module, inputs, output):
        if isinstance(module, nn.BatchNorm3d):
            return None
        wanted = 3.0 if module is last else 1.0
        scale = ranges[f"{names[module]}.weight"][0] * wanted / float(output.std())
        assign(module, "weight", scale, 0.0)
        if module.bias is not None:
            assign(module, "bias", 0.4, 0.0)
        return module.forward(*inputs)

    hooks = []
    for module in net.modules():
        if isinstance(module, (nn.Conv3d, nn.Linear, nn.BatchNorm3d)):
            hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    with torch.no_grad():
        net(*inputs)
    for hook in hooks:
        hook.remove()
    return ranges


def rounded(value):
    """So that another machine's rounding gives the same files."""
    return float(np.float32(f"{value:.3g}"))
