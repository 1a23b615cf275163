//! A peer: burn, with its autodiff, `nn::Linear` and SGD or Adam, as its users write it. Variants are its CPU backends: flex, ndarray.

#[path = "../../exported.rs"]
mod exported;

use burn::module::{Module, Param};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use exported::{Arguments, Layer, Optimizer, Peer, Result, Task};

#[derive(Module, Debug)]
struct Network {
    layers: Vec<Linear>,
}

impl Network {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [hidden @ .., last] = self.layers.as_slice() else { return x };
        let z = last.forward(hidden.iter().fold(x, |x, layer| relu(layer.forward(x))));
        if hidden.is_empty() {
            // Straight-through: the value of the ReLU, the gradient of z.
            return z.clone() + (relu(z.clone()) - z).detach();
        }
        z
    }
}

struct Burn {
    /// Taken and put back by the optimizer.
    network: Option<Network>,
    optimizer: ModuleOptimizer,
    criterion: CrossEntropyLoss,
    lr: f64,
    batches: Vec<(Tensor<2>, Tensor<1, Int>)>,
}

impl Burn {
    fn new(task: &Task, device: &Device) -> Burn {
        let linear = |layer: &Layer| {
            let (rows, columns) = (layer.bias.len(), layer.in_features());
            let weight = Tensor::<2>::from_data(TensorData::new(layer.weight.clone(), [rows, columns]), device);
            let mut linear = LinearConfig::new(columns, rows).init(device);
            // burn keeps [in, out]; by way of data, so that it lies in memory like that.
            linear.weight = Param::from_tensor(Tensor::from_data(weight.transpose().into_data(), device));
            linear.bias =
                Some(Param::from_tensor(Tensor::from_data(TensorData::new(layer.bias.clone(), [rows]), device)));
            linear
        };
        let batches = (task.batches().iter())
            .map(|&(start, len)| {
                let x = task.train.x[start * task.features()..][..len * task.features()].to_vec();
                let y: Vec<i64> = task.train.labels[start..][..len].iter().map(|&label| label.into()).collect();
                let x = Tensor::from_data(TensorData::new(x, [len, task.features()]), device);
                (x, Tensor::from_data(TensorData::new(y, [len]), device))
            })
            .collect();
        Burn {
            network: Some(Network { layers: task.layers.iter().map(linear).collect() }),
            optimizer: match task.optimizer {
                Optimizer::Sgd => SgdConfig::new().init(),
                Optimizer::Adam => AdamConfig::new().with_beta_1(0.9).with_beta_2(0.999).with_epsilon(1e-8).init(),
            },
            criterion: CrossEntropyLossConfig::new().init(device),
            lr: task.lr,
            batches,
        }
    }
}

impl Peer for Burn {
    fn train_epoch(&mut self) -> Result<f64> {
        let mut network = self.network.take().ok_or("an epoch failed before")?;
        let mut losses = 0.0;
        for (x, y) in &self.batches {
            let loss = self.criterion.forward(network.forward(x.clone()), y.clone());
            losses += loss.clone().into_scalar::<f64>();
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = self.optimizer.step(self.lr, network, gradients);
        }
        self.network = Some(network);
        Ok(losses / self.batches.len() as f64)
    }

    fn parameters(&self) -> Result<Vec<Layer>> {
        let values = |data: TensorData| data.try_to_vec::<f32>().map_err(|error| format!("{error:?}"));
        let network = self.network.as_ref().ok_or("an epoch failed before")?;
        let layer = |linear: &Linear| {
            let bias = linear.bias.as_ref().ok_or("a layer has no bias")?;
            Ok(Layer {
                weight: values(linear.weight.val().transpose().into_data())?,
                bias: values(bias.val().into_data())?,
            })
        };
        network.layers.iter().map(layer).collect()
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse("flex")?;
    let device = match arguments.variant.as_str() {
        "flex" => Device::flex(),
        // The backend that flex replaces; many users still have it.
        #[allow(deprecated)]
        "ndarray" => Device::ndarray(),
        other => return Err(format!("--variant {other}: expected flex or ndarray").into()),
    };
    let task = arguments.load()?;
    let mut peer = Burn::new(&task, &device.autodiff());
    let version = exported::locked_version(include_str!("../Cargo.lock"), "burn");
    exported::run(&arguments, "burn", version, &task, &mut peer)
}
