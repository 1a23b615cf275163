//! An estimator's parameters, checked by Python, as the library's optimizer, schedule and trainer.

use flatnet::data::Shuffle;
use flatnet::optim::{self, Clip, Optimizer, schedule};
use flatnet::{Result, Trainer};
use pyo3::FromPyObject;

use crate::losses;
use crate::rates::{Adaptive, InverseScaling};

/// Under scikit-learn's names where it has one.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Settings {
    /// As the library writes them: `linear:100,relu,linear:10`.
    pub layers: String,
    pub loss: String,
    pub label_smoothing: f32,
    pub solver: String,
    pub alpha: f64,
    pub learning_rate: String,
    pub learning_rate_init: f64,
    pub power_t: f64,
    pub lr_schedule: Option<String>,
    pub momentum: f64,
    pub nesterovs_momentum: bool,
    pub beta_1: f64,
    pub beta_2: f64,
    pub epsilon: f64,
    pub clip_norm: Option<f32>,
    pub batch_size: usize,
    pub max_iter: usize,
    pub shuffle: bool,
    pub seed: u64,
    pub tol: f64,
    /// `None` for never.
    pub n_iter_no_change: Option<usize>,
    pub n_jobs: usize,
    /// Samples seen before.
    pub t: usize,
    pub best_loss: f64,
    pub best_score: f64,
    pub no_improvement_count: usize,
    /// Whether Ctrl-C is this thread's business.
    pub signals: bool,
}

impl Settings {
    /// `mean_weight`: of a sample. scikit-learn shares the penalty out among the samples of a batch by their weights.
    pub fn optimizer(&self, mean_weight: f64) -> Result<Box<dyn Optimizer>> {
        let share = self.alpha / (self.batch_size as f64 * mean_weight);
        let mut settings =
            optim::Settings { weight_decay: Some(share), decay_biases: Some(false), ..Default::default() };
        match self.solver.as_str() {
            "sgd" => {
                settings.momentum = Some(self.momentum);
                settings.nesterov = Some(self.nesterovs_momentum && self.momentum > 0.0);
            }
            "adam" | "adamw" | "adamax" => {
                settings.beta1 = Some(self.beta_1);
                settings.beta2 = Some(self.beta_2);
                settings.eps = Some(self.epsilon);
                if self.solver == "adamw" {
                    settings.weight_decay = Some(self.alpha);
                }
            }
            _ => settings.eps = Some(self.epsilon),
        }
        optim::build(&self.solver, self.learning_rate_init as f32, &settings)
    }

    /// The trainer for so many samples and outputs, and the rate that is to be lowered where nothing is gained.
    pub fn trainer(&self, samples: usize, outputs: usize, mean_weight: f64) -> Result<(Trainer, Option<Adaptive>)> {
        let mut trainer = Trainer::new(self.optimizer(mean_weight)?)
            .loss(losses::named(&self.loss, outputs, self.label_smoothing)?)
            .epochs(self.max_iter)
            .batch_size(self.batch_size)
            .shuffle(if self.shuffle { Shuffle::Epoch } else { Shuffle::Never })
            .seed(self.seed)
            .threads(self.n_jobs);
        if let Some(bound) = self.clip_norm {
            trainer = trainer.clip(Clip::Norm(bound));
        }
        // scikit-learn's own are of SGD alone.
        Ok(match (&self.lr_schedule, self.solver.as_str(), self.learning_rate.as_str()) {
            (Some(spec), ..) => (trainer.schedule(schedule::parse(spec)?), None),
            (None, "sgd", "invscaling") => {
                let rate = InverseScaling { power_t: self.power_t, samples, seen: self.t };
                (trainer.schedule(rate), None)
            }
            (None, "sgd", "adaptive") => {
                let rate = Adaptive::new(self.learning_rate_init);
                (trainer.schedule(rate.clone()), Some(rate))
            }
            _ => (trainer, None),
        })
    }
}
