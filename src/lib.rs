//! flatnet trains small dense neural networks on ordinary CPUs: dense layers on flat `f32` slices, with the same bits for
//! any number of threads. Data flow one way:
//!
//! ```text
//! data (u8 pixels, labels) -> loader (a batch as f32) -> nn (forward, loss, backward) -> optim (update) -> train (epochs)
//! ```
//!
//! # A network by hand
//!
//! `forward`, `backward` and `zero_grad` do what they do in PyTorch. [`Trainer`] runs the same loop and validates after every
//! epoch, on the threads it is given.
//!
//! ```
//! use flatnet::data::{Batch, Dataset, Loader, Scale, Shuffle};
//! use flatnet::nn::{Activations, Init, ReluGrad, Sequential, SoftmaxCrossEntropy};
//! use flatnet::optim::Sgd;
//!
//! // Eight images of 1 x 2 pixels: class 0 is bright on the left, class 1 on the right.
//! let pixels = (0..8).flat_map(|i| if i % 2 == 0 { [200 + i, 9 * i] } else { [9 * i, 200 + i] }).collect();
//! let set = Dataset::new(pixels, vec![0, 1, 0, 1, 0, 1, 0, 1], (1, 2), 2, "bright sides".into())?;
//! let loader = Loader::new(&set, Scale::Unit, 4, Shuffle::Never, 0)?;
//!
//! let mut model = Sequential::new(2, &"linear:2".parse()?, Init::Zeros, ReluGrad::Exact, 0)?;
//! let (mut criterion, optimizer) = (SoftmaxCrossEntropy::new(2), Sgd::new(0.5)?);
//! let (mut activations, mut x) = (Activations::default(), Batch::new());
//! for batch in (0..20).flat_map(|_epoch| 0..loader.batches()) {
//!     loader.load(batch, &mut x);
//!     let logits = model.forward(&x, &mut activations);
//!     let _mean_loss = criterion.forward(logits, x.labels());
//!     model.zero_grad();
//!     model.backward(&x, criterion.backward(), &mut activations);
//!     optimizer.step(&mut model);
//! }
//! assert_eq!(flatnet::evaluate(&model, &set, Scale::Unit, 4, 1)?.correct, 8);
//! # Ok::<(), flatnet::Error>(())
//! ```
//!
//! # The rooms
//!
//! From the ground up. A room imports only from rooms above it in this list; `tests/library/architecture.rs` sees to it.
//!
//! | room | what it is for | what it must not know |
//! |---|---|---|
//! | `error` | one [`Error`]: what is wrong, where, and what was expected there | who raises it |
//! | `names` | the names of a setting's choices, the same in text and in JSON | which choices there are |
//! | `whole_file` | files that appear whole or not at all | what is written |
//! | `rng` | the seeded generator: draws, samples, orders | data, networks |
//! | `parallel` | threads; the one room that names rayon | what is computed |
//! | `kernels` | arithmetic on flat slices, shapes as arguments, on every SIMD level | threads, layers |
//! | `kernels/reference` | the same arithmetic as plain loops: the oracle of the tests | every kernel |
//! | `data` | IDX files, data sets, samples, scaled batches | networks, threads that train |
//! | `picture` | PNG and JPEG of any size as images in MNIST's form, with the feature `picture` | networks, terminals |
//! | `nn` | layers, loss, networks: forward, backward, zero_grad | files, threads, flags |
//! | `optim` | from gradients to new parameters | what layers do with them |
//! | `train` | the loop over epochs, evaluation, what both measured | flags, terminals, files |
//! | `model_file` | a trained network as a safetensors file | runs, training |
//! | `run` | a run's recipe, figures and files | flags, terminals |
//! | `report` | pictures and pages of runs | training, flags, terminals |
//! | `lib` | this page and `pub use`; no logic | |
//! | `cli` | from flags to the public API, from results to the screen | anything private |
//! | `main` | exit codes | everything else |
//!
//! Weights are `[out_features, in_features]` and batches `[batch, features]`, row-major. Pixels stay bytes in memory and
//! become f32 when a batch is loaded. The feature `cli` (on by default) holds what only the program needs.
#![deny(unsafe_code)]

pub mod data;
pub mod error;
pub mod kernels;
pub mod model_file;
pub mod nn;
pub mod optim;
pub mod parallel;
#[cfg(feature = "picture")]
pub mod picture;
pub mod report;
pub mod rng;
pub mod run;
pub mod train;

mod names;
mod whole_file;

pub use error::{Error, Result};

pub use data::{Dataset, Loader, Scale};
pub use nn::{Linear, Relu, Sequential, SoftmaxCrossEntropy};
pub use optim::Sgd;
pub use train::{History, TrainConfig, Trainer, evaluate};

/// Compiles and runs the README's example with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
