#!/usr/bin/env python3
"""A peer: PyTorch, as its users write it and as fast as it goes.

Variants: `slices` is nn.Sequential, CrossEntropyLoss and SGD or Adam, fused, on slices of one tensor; `foreach` is the same with
an optimizer that takes each operation to the list of all parameters; `dataloader` is `slices` on batches of a DataLoader; `by-hand` is a
step of SGD without autograd; `compile` is the whole step, gradients by torch.func and the update included, as one graph of
torch.compile, and `compile-reduce-overhead` the same in that mode; `own-start` is `slices` from PyTorch's own initialisation and
with its own, exact ReLU, which is what its users get: its losses are not to be compared.
"""

import common

ARGUMENTS = common.parse(__doc__, ["slices", "foreach", "dataloader", "by-hand", "compile", "compile-reduce-overhead", "own-start"])

import sys  # noqa: E402

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
    layers = []
    for weight, bias in task.layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        if not own_start:
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight))
                linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, nn.ReLU()]
    if task.is_deep:
        layers.pop()
    elif not own_start:
        layers[-1] = StraightThroughRelu()
    return nn.Sequential(*layers)


def optimizer_of(task, parameters, how):
    """`how` is the way of the library's two that updates: fused, or foreach."""
    if task.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=task.lr, betas=task.BETAS, eps=task.EPS, **{how: True})
    return torch.optim.SGD(parameters, lr=task.lr, **{how: True})


def with_autograd(task, arguments):
    torch.manual_seed(0)
    x, y = torch.from_numpy(task.train_x), torch.from_numpy(task.train_y)
    model = model_of(task, own_start=arguments.variant == "own-start")
    how = "foreach" if arguments.variant == "foreach" else "fused"
    criterion, optimizer = nn.CrossEntropyLoss(), optimizer_of(task, model.parameters(), how)
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
    if task.optimizer != "sgd":
        sys.exit("by-hand has SGD alone")
    x, y = torch.from_numpy(task.train_x), torch.from_numpy(task.train_y)
    one_hot = functional.one_hot(y, 10).float()
    layers = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in task.layers]
    batches = list(zip(x.split(task.batch_size), y.split(task.batch_size), one_hot.split(task.batch_size)))
    *hidden_layers, (last_weight, last_bias) = layers

    def step(x, labels, targets):
        inputs = [x]
        for weight, bias in hidden_layers:
            inputs.append(torch.addmm(bias, inputs[-1], weight.t()).relu_())
        logits = torch.addmm(last_bias, inputs[-1], last_weight.t())
        log_p = torch.log_softmax(logits if hidden_layers else logits.relu_(), 1)
        loss = functional.nll_loss(log_p, labels)
        # Straight-through where the ReLU stands last: its gradient is the one of its output.
        dz, rate = log_p.exp_().sub_(targets), -task.lr / len(x)
        for index in reversed(range(len(layers))):
            weight, bias = layers[index]
            dx = torch.mm(dz, weight).mul_(inputs[index] > 0) if index > 0 else None
            weight.addmm_(dz.t(), inputs[index], alpha=rate)
            bias.add_(dz.sum(0), alpha=rate)
            dz = dx
        return loss

    def train_epoch():
        with torch.inference_mode():
            return torch.stack([step(*batch) for batch in batches]).mean()

    return train_epoch, lambda: [(weight.numpy(), bias.numpy()) for weight, bias in layers]


def compiled(task, arguments):
    if not task.is_deep:
        sys.exit("the compiled step is for networks with a hidden layer")
    x, y = torch.from_numpy(task.train_x), torch.from_numpy(task.train_y)
    parameters = [torch.from_numpy(values) for layer in task.layers for values in layer]
    averages, squares = ([torch.zeros_like(values) for values in parameters] for _ in range(2))
    batches = list(zip(x.split(task.batch_size), y.split(task.batch_size)))
    (beta1, beta2), steps = task.BETAS, 0

    def loss_of(parameters, x, labels):
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2]):
            x = torch.relu(functional.linear(x, weight, bias))
        return functional.cross_entropy(functional.linear(x, *parameters[-2:]), labels)

    def sgd(x, labels):
        gradients, loss = torch.func.grad_and_value(loss_of)(parameters, x, labels)
        for p, g in zip(parameters, gradients):
            p.sub_(g, alpha=task.lr)
        return loss

    def adam(x, labels, rate, root):
        """By the formulas of torch.optim.Adam; `rate` and `root` are what depends on the step's number."""
        gradients, loss = torch.func.grad_and_value(loss_of)(parameters, x, labels)
        for p, g, m, v in zip(parameters, gradients, averages, squares):
            m.lerp_(g, 1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            p.sub_(rate * m / (v.sqrt() / root + task.EPS))
        return loss

    def corrections():
        """Tensors, since a number that changes would be compiled anew."""
        nonlocal steps
        steps += 1
        return torch.tensor(task.lr / (1 - beta1**steps)), torch.tensor((1 - beta2**steps) ** 0.5)

    mode = "reduce-overhead" if arguments.variant == "compile-reduce-overhead" else None
    # The last batch is shorter and compiled for itself.
    step = torch.compile(adam if task.optimizer == "adam" else sgd, mode=mode, fullgraph=True, dynamic=False)
    more = corrections if task.optimizer == "adam" else lambda: ()

    def train_epoch():
        with torch.no_grad():
            return torch.stack([step(*batch, *more()) for batch in batches]).mean()

    return train_epoch, lambda: [(weight.numpy(), bias.numpy()) for weight, bias in zip(parameters[::2], parameters[1::2])]


BUILDERS = {"by-hand": by_hand, "compile": compiled, "compile-reduce-overhead": compiled}
torch.set_num_threads(ARGUMENTS.threads)
common.run(ARGUMENTS, "PyTorch", torch.__version__, BUILDERS.get(ARGUMENTS.variant, with_autograd), optimizers=("sgd", "adam"))
