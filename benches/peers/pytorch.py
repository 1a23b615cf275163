#!/usr/bin/env python3
"""A peer: PyTorch, as its users write it and as fast as it goes.

Variants: `slices` is nn.Sequential, CrossEntropyLoss and SGD on slices of one tensor; `dataloader` is the same on batches of a
DataLoader; `by-hand` is a step without autograd; `own-start` is `slices` from PyTorch's own initialisation and with its own,
exact ReLU, which is what its users get: its losses are not to be compared.
"""

import common

ARGUMENTS = common.parse(__doc__, ["slices", "dataloader", "by-hand", "own-start"])

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402


class StraightThroughRelu(nn.Module):
    """max(z, 0) whose backward passes the gradient unchanged: the values change below autograd's sight, in place."""

    def forward(self, z):
        z.detach().relu_()
        return z


def model_of(task, own_start):
    linears = []
    for weight, bias in task.layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        if not own_start:
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight))
                linear.bias.copy_(torch.from_numpy(bias))
        linears.append(linear)
    if task.is_deep:
        return nn.Sequential(linears[0], nn.ReLU(), linears[1])
    return nn.Sequential(linears[0], nn.ReLU() if own_start else StraightThroughRelu())


def with_autograd(task, arguments):
    torch.manual_seed(0)
    x, y = torch.from_numpy(task.train_x), torch.from_numpy(task.train_y)
    model = model_of(task, own_start=arguments.variant == "own-start")
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=task.lr, fused=True)
    if arguments.variant == "dataloader":
        batches = DataLoader(TensorDataset(x, y), batch_size=task.batch_size)
    else:
        batches = list(zip(x.split(task.batch_size), y.split(task.batch_size)))

    def train_epoch():
        losses = []
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    linears = [layer for layer in model if isinstance(layer, nn.Linear)]
    return train_epoch, lambda: [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linears]


def by_hand(task, _arguments):
    x, y = torch.from_numpy(task.train_x), torch.from_numpy(task.train_y)
    one_hot = functional.one_hot(y, 10).float()
    layers = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in task.layers]
    batches = list(zip(x.split(task.batch_size), y.split(task.batch_size), one_hot.split(task.batch_size)))

    def descend(weight, bias, x, dz, rate):
        weight.addmm_(dz.t(), x, alpha=rate)
        bias.add_(dz.sum(0), alpha=rate)

    def step_of_one(inputs, labels, targets):
        ((weight, bias),) = layers
        log_p = torch.log_softmax(torch.addmm(bias, inputs, weight.t()).relu_(), 1)
        loss = functional.nll_loss(log_p, labels)
        descend(weight, bias, inputs, log_p.exp_().sub_(targets), -task.lr / len(inputs))
        return loss

    def step_of_two(inputs, labels, targets):
        (weight, bias), (weight2, bias2) = layers
        hidden = torch.addmm(bias, inputs, weight.t()).relu_()
        log_p = torch.log_softmax(torch.addmm(bias2, hidden, weight2.t()), 1)
        loss = functional.nll_loss(log_p, labels)
        dz = log_p.exp_().sub_(targets)
        dh = torch.mm(dz, weight2).mul_(hidden > 0)
        rate = -task.lr / len(inputs)
        descend(weight2, bias2, hidden, dz, rate)
        descend(weight, bias, inputs, dh, rate)
        return loss

    step = step_of_two if task.is_deep else step_of_one

    def train_epoch():
        with torch.inference_mode():
            return torch.stack([step(*batch) for batch in batches]).mean()

    return train_epoch, lambda: [(weight.numpy(), bias.numpy()) for weight, bias in layers]


torch.set_num_threads(ARGUMENTS.threads)
common.run(ARGUMENTS, "PyTorch", torch.__version__, by_hand if ARGUMENTS.variant == "by-hand" else with_autograd)
