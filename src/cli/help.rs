//! Help of the flags that name something of a list: written from the lists, so that what is added there is told here.

use flatnet::kernels::activations::ACTIVATIONS;
use flatnet::loss::LOSSES;
use flatnet::nn::Init;
use flatnet::optim;
use flatnet::optim::schedule;

pub fn layers() -> String {
    let activations: Vec<_> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
    format!(
        "Layers in order: linear:N, dropout:P, {}; the last linear layer has one output per class, label or value \
         [default: linear:10,relu for MNIST, else linear:128,relu and that last one]",
        activations.join(", ")
    )
}

pub fn init() -> String {
    let all: Vec<_> = Init::ALL.iter().map(Init::to_string).collect();
    format!(
        "How weights start: {}; auto is unit-norm, the reference's, for a network that ends in its only ReLU, else \
         kaiming-uniform, PyTorch's",
        all.join(", ")
    )
}

pub fn optimizer() -> String {
    format!("Optimizer: {}", optim::names().collect::<Vec<_>>().join(", "))
}

pub fn lr_schedule() -> String {
    format!("How the learning rate changes: {}", schedule::usages().collect::<Vec<_>>().join(", "))
}

pub fn loss() -> String {
    let names: Vec<_> = LOSSES.iter().map(|(form, _)| *form).collect();
    format!(
        "What is minimized: {} [default: the first for classes, the second for labels, the third for values]",
        names.join(", ")
    )
}
