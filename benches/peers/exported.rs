//! What the Rust peers share: reading what flatnet exported, timing epochs, judging the result, printing one line of JSON.
//! It knows no framework. The data set must be unpacked (IDX, no gzip).

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A linear layer: weight `[out_features, in_features]`, bias `[out_features]`.
#[derive(Clone)]
pub struct Layer {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Layer {
    pub fn in_features(&self) -> usize {
        self.weight.len() / self.bias.len()
    }
}

/// Pixels `[samples, features]` as x / 255, and their labels.
pub struct Samples {
    pub x: Vec<f32>,
    pub labels: Vec<u8>,
}

/// What a step does with the gradients. Adam is PyTorch's, with betas of 0.9 and 0.999 and an eps of 1e-8.
#[derive(Clone, Copy)]
pub enum Optimizer {
    Sgd,
    Adam,
}

/// A run of flatnet before its first step. One layer means 784-10-relu with the straight-through ReLU of the reference;
/// more mean hidden layers, each with an exact ReLU behind it.
pub struct Task {
    pub layers: Vec<Layer>,
    pub optimizer: Optimizer,
    pub lr: f64,
    pub batch_size: usize,
    pub train: Samples,
    pub val: Samples,
}

impl Task {
    pub fn features(&self) -> usize {
        self.layers[0].in_features()
    }

    /// Start and length of each batch in order; the last one is shorter.
    pub fn batches(&self) -> Vec<(usize, usize)> {
        let count = self.train.labels.len();
        (0..count).step_by(self.batch_size).map(|start| (start, self.batch_size.min(count - start))).collect()
    }
}

/// What the command line asked for: `--run DIR --data DIR [--epochs N] [--variant V]`. The number of threads is rayon's own setting,
/// RAYON_NUM_THREADS.
pub struct Arguments {
    pub run: PathBuf,
    pub data: PathBuf,
    pub epochs: usize,
    pub threads: usize,
    pub variant: String,
    started: Instant,
}

impl Arguments {
    pub fn parse(default_variant: &str) -> Result<Arguments> {
        let started = Instant::now();
        let words: Vec<String> = std::env::args().skip(1).collect();
        let flags: HashMap<&str, &str> =
            words.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
        let flag = |name: &str| flags.get(name).copied();
        let usage = "expected --run DIR --data DIR [--epochs N] [--variant V]";
        let arguments = Arguments {
            run: flag("--run").ok_or(usage)?.into(),
            data: flag("--data").ok_or(usage)?.into(),
            epochs: flag("--epochs").unwrap_or("5").parse()?,
            threads: match std::env::var("RAYON_NUM_THREADS") {
                Ok(threads) => threads.parse()?,
                Err(_) => std::thread::available_parallelism()?.get(),
            },
            variant: flag("--variant").unwrap_or(default_variant).into(),
            started,
        };
        if arguments.epochs < 2 { Err("--epochs: expected at least 2".into()) } else { Ok(arguments) }
    }

    pub fn load(&self) -> Result<Task> {
        let summary: Value = serde_json::from_slice(&fs::read(self.run.join("summary.json"))?)?;
        let number = |name: &str| summary["recipe"][name].as_f64().ok_or(format!("summary.json: no {name}"));
        Ok(Task {
            layers: read_layers(&self.run.join("model.safetensors"))?,
            optimizer: match summary["recipe"]["optimizer"].as_str() {
                Some("sgd") => Optimizer::Sgd,
                Some("adam") => Optimizer::Adam,
                other => return Err(format!("summary.json: no peer has the optimizer {other:?}").into()),
            },
            lr: number("lr")?,
            batch_size: number("batch_size")? as usize,
            train: self.samples("train", "train")?,
            val: self.samples("val", "t10k")?,
        })
    }

    fn samples(&self, phase: &str, prefix: &str) -> Result<Samples> {
        let images = fs::read(self.data.join(format!("{prefix}-images-idx3-ubyte")))?;
        let labels = fs::read(self.data.join(format!("{prefix}-labels-idx1-ubyte")))?;
        let features = (images.len() - 16) / (labels.len() - 8);
        let mut samples = Samples { x: Vec::new(), labels: Vec::new() };
        for line in fs::read_to_string(self.run.join("sample.csv"))?.lines() {
            if let Some((position, row)) = line.strip_prefix(phase).and_then(|rest| rest[1..].split_once(',')) {
                let row: usize = row.parse()?;
                debug_assert_eq!(position.parse(), Ok(samples.labels.len()));
                samples.x.extend(images[16 + row * features..][..features].iter().map(|&p| f32::from(p) / 255.0));
                samples.labels.push(labels[8 + row]);
            }
        }
        Ok(samples)
    }
}

/// safetensors: eight bytes of length, a JSON header, raw values.
fn read_layers(path: &Path) -> Result<Vec<Layer>> {
    let file = fs::read(path)?;
    let length = u64::from_le_bytes(file[..8].try_into()?) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length])?;
    let values = |name: String| -> Option<Vec<f32>> {
        let offset = |end: usize| Some(8 + length + header[&name]["data_offsets"][end].as_u64()? as usize);
        let (values, _) = file[offset(0)?..offset(1)?].as_chunks::<4>();
        Some(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let layer =
        |index| Some(Layer { weight: values(format!("{index}.weight"))?, bias: values(format!("{index}.bias"))? });
    // A ReLU stands between two linear layers, so every other index has tensors.
    Ok((0..).step_by(2).map_while(layer).collect())
}

/// A network of one framework, made from a task.
pub trait Peer {
    /// Trains one epoch and returns the mean of its batch losses. Only this is timed.
    fn train_epoch(&mut self) -> Result<f64>;
    fn parameters(&self) -> Result<Vec<Layer>>;
}

pub fn run(arguments: &Arguments, library: &str, version: &str, task: &Task, peer: &mut dyn Peer) -> Result<()> {
    let (mut seconds, mut epoch_loss) = (Vec::new(), 0.0);
    for _ in 0..arguments.epochs {
        let before = Instant::now();
        epoch_loss = peer.train_epoch()?;
        seconds.push(before.elapsed().as_secs_f64());
    }
    let (peak, total) = (peak_memory_mib(), arguments.started.elapsed().as_secs_f64());
    // The first epoch warms up.
    let mut timed = seconds.split_off(1);
    timed.sort_by(f64::total_cmp);
    let median = (timed[(timed.len() - 1) / 2] + timed[timed.len() / 2]) / 2.0;
    let layers = peer.parameters()?;
    let (train_loss, train_accuracy) = evaluate(task, &layers, &task.train);
    let (val_loss, val_accuracy) = evaluate(task, &layers, &task.val);
    println!(
        "{}",
        json!({
            "library": library,
            "version": version,
            "variant": arguments.variant,
            "threads": arguments.threads,
            "epochs": arguments.epochs,
            "us_per_batch": (1e8 * median / task.batches().len() as f64).round() / 100.0,
            "seconds": total,
            "epoch_loss": epoch_loss,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "peak_memory_mib": peak,
        })
    );
    Ok(())
}

/// Mean loss of the samples and share of correct predictions, as flatnet counts them.
fn evaluate(task: &Task, layers: &[Layer], samples: &Samples) -> (f64, f64) {
    let (mut losses, mut correct) = (0.0, 0);
    for (image, &label) in samples.x.chunks_exact(task.features()).zip(&samples.labels) {
        let mut z = image.to_vec();
        for (index, layer) in layers.iter().enumerate() {
            z = forward(layer, &z);
            if index + 1 < layers.len() || index == 0 {
                z.iter_mut().for_each(|z| *z = z.max(0.0));
            }
        }
        let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = z.iter().map(|&z| f64::from(z - largest).exp()).sum();
        losses += sum.ln() - f64::from(z[usize::from(label)] - largest);
        correct += usize::from(z.iter().position(|&z| z == largest) == Some(usize::from(label)));
    }
    let count = samples.labels.len() as f64;
    (losses / count, correct as f64 / count)
}

fn forward(layer: &Layer, x: &[f32]) -> Vec<f32> {
    let dot = |row: &[f32]| {
        let mut lanes = [0f32; 16];
        let ((rows, row_end), (xs, x_end)) = (row.as_chunks::<16>(), x.as_chunks::<16>());
        for (row, x) in rows.iter().zip(xs) {
            for lane in 0..16 {
                lanes[lane] += row[lane] * x[lane];
            }
        }
        lanes.iter().sum::<f32>() + row_end.iter().zip(x_end).map(|(row, x)| row * x).sum::<f32>()
    };
    layer.weight.chunks_exact(x.len()).zip(&layer.bias).map(|(row, bias)| dot(row) + bias).collect()
}

/// The version of a package in the text of a Cargo.lock.
pub fn locked_version<'a>(lock: &'a str, package: &str) -> &'a str {
    let after_name = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).map_or("", |(_, rest)| rest);
    after_name.split('"').next().unwrap_or("")
}

/// The most memory that this process held, as Linux tells; `None` elsewhere.
fn peak_memory_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()?;
    Some((kib / 102.4).round() / 10.0)
}
