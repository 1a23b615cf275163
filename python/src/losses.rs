//! The library's losses by name, times what scikit-learn multiplies its own by: it minimizes half the squared error, and sums
//! over outputs where the library takes means.

use flatnet::data::Targets;
use flatnet::kernels::SimdLevel;
use flatnet::loss::{
    AbsoluteError, BinaryCrossEntropy, CrossEntropy, Huber, Loss, LossBuffers, LossSums, SmoothL1, SquaredError,
};
use flatnet::{Error, Result};

/// A loss, its gradient times one factor, and the figure that is told of it times another.
#[derive(Debug)]
pub struct Scaled {
    inner: Box<dyn Loss>,
    gradient: f32,
    told: f64,
}

/// The loss of this name for so many outputs.
pub fn named(name: &str, outputs: usize, label_smoothing: f32) -> Result<Scaled> {
    let width = outputs as f32;
    let scaled = |inner, gradient, told| Ok(Scaled { inner, gradient, told });
    match name {
        "cross-entropy" => scaled(Box::new(CrossEntropy::new().label_smoothing(label_smoothing)), 1.0, 1.0),
        "binary-cross-entropy" => scaled(Box::new(BinaryCrossEntropy), width, outputs as f64),
        // scikit-learn tells the mean over outputs and descends along the gradient of the sum.
        "squared-error" => scaled(Box::new(SquaredError), 0.5 * width, 0.5),
        "absolute-error" => scaled(Box::new(AbsoluteError), width, 1.0),
        "huber" => scaled(Box::<Huber>::default(), width, 1.0),
        "smooth-l1" => scaled(Box::<SmoothL1>::default(), width, 1.0),
        _ => Err(Error::Setting {
            name: "loss",
            found: format!("'{name}'"),
            expected: "cross-entropy, binary-cross-entropy, squared-error, absolute-error, huber or smooth-l1".into(),
        }),
    }
}

impl Loss for Scaled {
    fn spec(&self) -> String {
        self.inner.spec()
    }

    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()> {
        self.inner.validate(outputs, targets)
    }

    fn forward(
        &self,
        level: SimdLevel,
        outputs: usize,
        output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &mut LossBuffers,
    ) -> LossSums {
        let sums = self.inner.forward(level, outputs, output, targets, weights, buffers);
        LossSums { loss: self.told * sums.loss, ..sums }
    }

    fn backward(
        &self,
        level: SimdLevel,
        outputs: usize,
        output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &LossBuffers,
        grad: &mut [f32],
    ) {
        self.inner.backward(level, outputs, output, targets, weights, buffers, grad);
        if self.gradient != 1.0 {
            grad.iter_mut().for_each(|slope| *slope *= self.gradient);
        }
    }

    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64) {
        let (loss, counts) = self.inner.oracle(output, target);
        (self.told * loss, counts)
    }
}
