//! A peer: candle, with autograd and candle-nn's SGD or AdamW, which without decay is Adam, as its users write it.

#[path = "../../exported.rs"]
mod exported;

use candle_core::{D, Device, Tensor, Var};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, SGD, loss};
use exported::{Arguments, Layer, Peer, Result, Task};

enum Either {
    Sgd(SGD),
    Adam(AdamW),
}

impl Either {
    fn backward_step(&mut self, loss: &Tensor) -> candle_core::Result<()> {
        match self {
            Either::Sgd(optimizer) => optimizer.backward_step(loss),
            Either::Adam(optimizer) => optimizer.backward_step(loss),
        }
    }
}

struct Candle {
    variables: Vec<(Var, Var)>,
    layers: Vec<Linear>,
    optimizer: Either,
    /// Pixels and labels of each batch: views into one tensor.
    batches: Vec<(Tensor, Tensor)>,
}

impl Candle {
    fn new(task: &Task) -> Result<Candle> {
        let device = Device::Cpu;
        let variables: Vec<(Var, Var)> = (task.layers.iter())
            .map(|layer| {
                let shape = (layer.bias.len(), layer.in_features());
                let weight = Var::from_slice(&layer.weight, shape, &device)?;
                Ok((weight, Var::from_slice(&layer.bias, layer.bias.len(), &device)?))
            })
            .collect::<Result<_>>()?;
        let layers = variables
            .iter()
            .map(|(weight, bias)| Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone())));
        let layers = layers.collect();
        let all = variables.iter().flat_map(|(weight, bias)| [weight.clone(), bias.clone()]).collect();
        let x = Tensor::from_slice(&task.train.x, (task.train.labels.len(), task.features()), &device)?;
        let labels: Vec<u32> = task.train.labels.iter().map(|&label| label.into()).collect();
        let y = Tensor::from_vec(labels, task.train.labels.len(), &device)?;
        let slice = |&(start, len): &(usize, usize)| Ok((x.narrow(0, start, len)?, y.narrow(0, start, len)?));
        let batches = task.batches().iter().map(slice).collect::<Result<_>>()?;
        let optimizer = match task.optimizer {
            exported::Optimizer::Sgd => Either::Sgd(SGD::new(all, task.lr)?),
            exported::Optimizer::Adam => {
                let params = ParamsAdamW { lr: task.lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
                Either::Adam(AdamW::new(all, params)?)
            }
        };
        Ok(Candle { variables, layers, optimizer, batches })
    }

    fn logits(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let [hidden @ .., last] = self.layers.as_slice() else { return Ok(x.clone()) };
        let mut x = x.clone();
        for layer in hidden {
            x = layer.forward(&x)?.relu()?;
        }
        let z = last.forward(&x)?;
        if hidden.is_empty() {
            // Straight-through: the value of the ReLU, the gradient of z.
            return &z + (z.relu()? - &z)?.detach();
        }
        Ok(z)
    }
}

impl Peer for Candle {
    fn train_epoch(&mut self) -> Result<f64> {
        let mut losses = 0.0;
        for (x, y) in &self.batches {
            let loss = loss::cross_entropy(&self.logits(x)?, y)?;
            losses += f64::from(loss.to_scalar::<f32>()?);
            self.optimizer.backward_step(&loss)?;
        }
        Ok(losses / self.batches.len() as f64)
    }

    fn parameters(&self) -> Result<Vec<Layer>> {
        let values = |variable: &Var| variable.flatten_to(D::Minus1)?.to_vec1::<f32>();
        self.variables.iter().map(|(w, b)| Ok(Layer { weight: values(w)?, bias: values(b)? })).collect()
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse("autograd")?;
    let task = arguments.load()?;
    let mut peer = Candle::new(&task)?;
    exported::run(
        &arguments,
        "candle",
        exported::locked_version(include_str!("../Cargo.lock"), "candle-core"),
        &task,
        &mut peer,
    )
}
