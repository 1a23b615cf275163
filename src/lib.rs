//! flatnet trains small dense neural networks on ordinary CPUs: dense layers on flat `f32` slices, with the same bits for
//! any number of threads.
//!
//! ```no_run
//! use flatnet::optim::AdamW;
//! use flatnet::{Sequential, Trainer};
//!
//! let (train, test) = flatnet::data::mnist("data/mnist")?;
//! let mut model = Sequential::new(784).linear(128).relu().dropout(0.2).linear(10).build(0)?;
//! let history = Trainer::new(AdamW::new(1e-3)).epochs(10).batch_size(32).fit(&mut model, &train, &test)?;
//! println!("{}", history.best().unwrap());
//! model.save("digits.safetensors")?;
//! # Ok::<(), flatnet::Error>(())
//! ```
//!
//! # The loop by hand
//!
//! `forward`, `backward` and `zero_grad` do what they do in PyTorch. [`Trainer`] takes the same steps, to the bit, validates
//! after every epoch, and uses all threads.
//!
//! ```
//! use flatnet::data::{Batch, Dataset, Loader, Shuffle};
//! use flatnet::loss::{Criterion, CrossEntropy};
//! use flatnet::nn::{Context, Init, Sequential, Workspace};
//! use flatnet::optim::{Optimizer, OptimizerState, Sgd};
//!
//! // Eight images of 1 x 2 pixels: class 0 is bright on the left, class 1 on the right.
//! let pixels = (0..8).flat_map(|i| if i % 2 == 0 { [200 + i, 9 * i] } else { [9 * i, 200 + i] }).collect();
//! let set = Dataset::images(pixels, vec![0, 1, 0, 1, 0, 1, 0, 1], (1, 2), 2, "bright sides".into())?;
//! let loader = Loader::new(&set, 4, Shuffle::Never, 0)?;
//!
//! let mut model = Sequential::new(2).linear(2).init(Init::Zeros).build(0)?;
//! let (mut criterion, optimizer) = (Criterion::new(CrossEntropy::new(), 2), Sgd::new(0.5));
//! let (mut state, context) = (OptimizerState::of(&optimizer, &model), Context::train(0));
//! let (mut workspace, mut x) = (Workspace::new(), Batch::new());
//! for batch in (0..20).flat_map(|_epoch| 0..loader.batches()) {
//!     loader.load(batch, context.simd, &mut x);
//!     let logits = model.forward(&x, &context, &mut workspace);
//!     let _mean_loss = criterion.forward(context.simd, logits, x.targets(), None);
//!     model.zero_grad();
//!     model.backward(&x, criterion.backward(), &context, &mut workspace);
//!     optimizer.step(&mut model, &mut state, &context);
//! }
//! assert_eq!(flatnet::evaluate(&model, &set, 4, 1)?.correct, 8);
//! # Ok::<(), flatnet::Error>(())
//! ```
//!
//! # The rooms
//!
//! From the ground up. A room imports only from rooms above it in this list; `tests/library/architecture.rs` sees to it.
//!
//! | room | what it is for | what it must not know |
//! |---|---|---|
//! | `error` | one [`Error`]: what is wrong, where, and what was expected there | who raises it, flags |
//! | `names` | the names of a setting's choices, the same in text and in JSON | which choices there are |
//! | `regular_file` | opening what is a file and no pipe | what it holds |
//! | `whole_file` | files that appear whole or not at all | what is written |
//! | `tensor_file` | safetensors files: strings and tensors, read without trust | what they mean |
//! | `rng` | seeded streams: a draw depends on (seed, purpose, epoch, batch, position) alone | data, networks |
//! | `shards` | into how many shards a batch is cut, and who has which | samples, ranks |
//! | `kernels` | arithmetic on flat slices, shapes as arguments, on every SIMD level | threads, layers |
//! | `kernels/reference` | the same arithmetic as plain loops: the oracle of the tests | every kernel |
//! | `parallel` | the team of threads (the one room that names rayon), shards, who adds up what, one thread or all | what is computed |
//! | `picture` | PNG, JPEG, BMP, GIF and PNM of any size as images in MNIST's form, with the feature `picture` | networks, terminals |
//! | `data` | sources, data sets (columns and targets), samples, scaled batches | networks, threads that train |
//! | `metrics` | how good predictions are: one list of figures, held to scikit-learn's | networks, files |
//! | `nn` | layers, parameters, initialisers, networks: forward, backward, zero_grad | files, threads, flags |
//! | `loss` | from outputs and targets to a mean loss and its gradient | layers' insides |
//! | `optim` | from gradients to new parameters; learning rate schedules | layers' insides |
//! | `train` | the loop over epochs, its state, evaluation, what both measured, callbacks | flags, terminals, files |
//! | `model_file` | a network, its scale and its classes as a safetensors file | runs, training |
//! | `export` | a trained network as ONNX, as a C header, and for PyTorch | runs, training, flags |
//! | `run` | a run's recipe, figures and files | flags, terminals |
//! | `report` | pictures and pages of runs | training, flags, terminals |
//! | `lib` | this page and `pub use`; no logic | |
//! | `cli` | from flags to the public API, from results to the screen | anything private |
//! | `main` | exit codes | everything else |
//!
//! A gradient's way: `nn/sequential.rs` runs the passes; `nn/linear.rs` has the formulas `dW = dz^T x`, `db = sum dz`,
//! `dx = dz W`, and which kernel computes them. Weights are `[out_features, in_features]` and batches `[batch, features]`,
//! row-major. Pixels stay bytes in memory and become f32 when a batch is loaded. The feature `cli` (on by default) holds
//! what only the program needs.
#![deny(missing_docs, unsafe_code)]
#![allow(clippy::single_range_in_vec_init, reason = "rows are lists of ranges, often of one")]

pub mod data;
pub mod error;
pub mod export;
#[doc(hidden)]
pub mod kernels;
pub mod loss;
pub mod metrics;
pub mod model_file;
pub mod nn;
pub mod optim;
#[doc(hidden)]
pub mod parallel;
#[cfg(feature = "picture")]
pub mod picture;
pub mod report;
pub mod rng;
pub mod run;
pub mod train;

mod names;
#[doc(hidden)]
pub mod regular_file;
mod shards;
mod tensor_file;
#[doc(hidden)]
pub mod whole_file;

pub use error::{Error, Result};

pub use data::Dataset;
pub use kernels::{KernelChoice, SimdChoice, SimdLevel};
pub use nn::Sequential;
pub use train::{Callback, History, TrainState, Trainer, evaluate};

/// Compiles and runs the README's example with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
