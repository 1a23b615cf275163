//! What an epoch shows of the network, held to plain computations: units that are 0 throughout, the share of the class that is
//! predicted most often, the norm of gradients. It knows the public API, not how the figures are gathered.

use std::ops::ControlFlow;

use flatnet::data::{Batch, Dataset, Loader, Shuffle, TargetColumns};
use flatnet::kernels::KernelChoice;
use flatnet::loss::{Criterion, CrossEntropy};
use flatnet::nn::{Context, ReluGrad, Sequential, Workspace};
use flatnet::optim::schedule::MultiStep;
use flatnet::optim::{self, AdamW, Clip, Optimizer, OptimizerState, Settings, Sgd};
use flatnet::train::{DeadUnits, EpochEnd, MAX_WATCHED_LAYERS, Sharing, TrainState, Trainer, Watch};

/// Too small to move a weight.
const NOTHING: f32 = 1e-30;

/// Rows of two numbers, and their classes.
fn by_hand(rows: &[([f32; 2], u16)], classes: usize) -> Dataset {
    let x = rows.iter().flat_map(|(x, _)| *x).collect();
    let labels = rows.iter().map(|(_, label)| *label).collect();
    Dataset::from_values(x, 2, TargetColumns::Classes { labels, classes }, "by hand".into()).unwrap()
}

/// `rows` images of 28 x 28 and ten classes, of which four pixels in five are 0.
fn images(rows: usize) -> Dataset {
    let pixels = (0..rows * 784).map(|i| if i % 5 == 0 { (i * 31 % 251) as u8 } else { 0 }).collect();
    let labels = (0..rows).map(|row| (row * row % 10) as u8).collect();
    Dataset::images(pixels, labels, (28, 28), 10, "made up".into()).unwrap()
}

fn watched(trainer: &Trainer, model: &mut Sequential, data: &Dataset) -> Vec<Watch> {
    let history = trainer.fit(model, data, data).unwrap();
    history.epochs.iter().map(|epoch| epoch.watch.unwrap()).collect()
}

#[test]
fn units_that_are_0_for_every_sample_are_counted_and_no_others() {
    // Of the first layer's units one is positive for the second sample of the last batch alone, one for none, one for all.
    let data = by_hand(&[([1.0, 0.0], 0), ([1.0, 0.5], 0), ([2.0, 0.0], 1), ([1.0, 0.0], 1), ([0.0, 3.0], 0)], 2);
    for (batch_size, threads) in [(1, 1), (2, 1), (3, 2), (5, 4)] {
        let mut model = Sequential::new(2).linear(3).relu().linear(2).relu().build(0).unwrap();
        model.set_parameter("0.weight", &[-1.0, 1.0, -1.0, -1.0, 1.0, 1.0]).unwrap();
        model.set_parameter("0.bias", &[0.0, -1.0, 0.0]).unwrap();
        // The first output is positive for all, the second for none.
        model.set_parameter("2.weight", &[1.0, 1.0, 1.0, 0.0, 0.0, -1.0]).unwrap();
        model.set_parameter("2.bias", &[0.0, 0.0]).unwrap();
        let trainer = Trainer::new(Sgd::new(NOTHING)).epochs(2).batch_size(batch_size).threads(threads);
        for watch in watched(&trainer.sharing(Sharing::Always), &mut model, &data) {
            let dead = |layer, dead, units| DeadUnits { layer, dead, units };
            assert_eq!(watch.dead_units(), [dead(1, 1, 3), dead(3, 1, 2)], "batches of {batch_size}");
        }
    }
    // Without an activation there is none to count; of very many the last ones are.
    let mut model = Sequential::new(2).linear(2).build(0).unwrap();
    assert!(watched(&Trainer::new(Sgd::new(0.1)).epochs(1), &mut model, &data)[0].dead_units().is_empty());
    let layers = format!("linear:2{}", ",tanh,linear:2".repeat(MAX_WATCHED_LAYERS + 3));
    let mut model = Sequential::new(2).layers(&layers.parse().unwrap()).build(0).unwrap();
    let watch = watched(&Trainer::new(Sgd::new(0.1)).epochs(1), &mut model, &data)[0];
    let last = watch.dead_units().last().unwrap();
    assert_eq!((watch.dead_units().len(), last.layer), (MAX_WATCHED_LAYERS, 2 * (MAX_WATCHED_LAYERS + 3) - 1));
}

#[test]
fn the_largest_class_is_the_one_predicted_most_often() {
    // Predicted is the class of the larger number: the first for four of six rows, whatever their labels.
    let rows = [([1.0, 0.0], 1), ([5.0, 2.0], 0), ([0.0, 1.0], 1), ([2.0, 1.0], 1), ([0.0, 3.0], 0), ([3.0, 3.0], 0)];
    let data = by_hand(&rows, 3);
    for (batch_size, threads) in [(1, 1), (4, 1), (6, 3)] {
        let mut model = Sequential::new(2).linear(3).build(0).unwrap();
        model.set_parameter("0.weight", &[1.0, 0.0, 0.0, 1.0, -1.0, -1.0]).unwrap();
        model.set_parameter("0.bias", &[0.0; 3]).unwrap();
        let trainer = Trainer::new(Sgd::new(NOTHING)).epochs(1).batch_size(batch_size).threads(threads);
        let watch = watched(&trainer, &mut model, &data)[0];
        assert_eq!(watch.largest_class_share, Some(4.0 / 6.0));
        assert_eq!((watch.lr, watch.largest_weight), (NOTHING, 1.0));
    }
    let targets = TargetColumns::Values { values: vec![0.5, 1.5], width: 1 };
    let values = Dataset::from_values(vec![1.0, 2.0, 3.0, 4.0], 2, targets, "values".into()).unwrap();
    let mut model = Sequential::new(2).linear(1).build(0).unwrap();
    let watch = watched(&Trainer::new(Sgd::new(NOTHING)).epochs(1), &mut model, &values)[0];
    assert_eq!(watch.largest_class_share, None, "measured values have no class");
    assert!(watch.grad_norm.unwrap() > 0.0);
}

/// The norm of each batch's gradients in the first epoch, by hand.
fn norms(
    model: &mut Sequential,
    optimizer: &dyn Optimizer,
    clip: Option<Clip>,
    data: &Dataset,
    size: usize,
) -> Vec<f64> {
    let loader = Loader::new(data, size, Shuffle::Never, 0).unwrap();
    let (mut criterion, mut state) = (Criterion::new(CrossEntropy::new(), 10), OptimizerState::of(optimizer, model));
    let (mut workspace, mut x) = (Workspace::new(), Batch::new());
    let step = |batch: usize| {
        let context = Context::train(0).at(1, batch);
        loader.load(batch, context.simd, &mut x);
        let logits = model.forward(&x, &context, &mut workspace);
        criterion.forward(context.simd, logits, x.targets(), None);
        model.zero_grad();
        model.backward(&x, criterion.backward(), &context, &mut workspace);
        let gradients = model.parameters().flat_map(|parameter| parameter.gradient().unwrap());
        let norm = gradients.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        if let Some(clip) = clip {
            clip.apply(model, &context);
        }
        optimizer.step(model, &mut state, &context);
        norm
    };
    (0..loader.batches()).map(step).collect()
}

#[test]
fn the_gradient_norm_is_that_of_a_plain_computation() {
    for layers in ["linear:10,relu", "linear:128,relu,dropout:0.2,linear:10", "linear:64,tanh,linear:64,relu,linear:10"]
    {
        for kernel in [KernelChoice::Auto, KernelChoice::Gemm] {
            // 3 batches, of which the middle one is measured, and 199, of which 64 and 192 are.
            for (rows, size, measured) in [(20, 8, &[1][..]), (199, 1, &[64, 192])] {
                let data = images(rows);
                for (name, momentum, clip) in
                    [("sgd", 0.0, None), ("sgd", 0.0, Some(Clip::Norm(0.5))), ("sgd", 0.9, None), ("adamw", 0.0, None)]
                {
                    let settings = Settings { momentum: (momentum > 0.0).then_some(momentum), ..Settings::default() };
                    let optimizer = optim::build(name, 0.02, &settings).unwrap();
                    let builder = Sequential::new(784).layers(&layers.parse().unwrap()).kernel(kernel);
                    let start = builder.relu_grad(ReluGrad::Exact).build(3).unwrap();
                    let all = norms(&mut start.clone(), &*optimizer, clip, &data, size);
                    let expected = measured.iter().map(|batch| all[*batch]).sum::<f64>() / measured.len() as f64;
                    let is_fused = optimizer.is_plain() && clip.is_none();
                    let trainer = Trainer::new(optimizer).epochs(1).batch_size(size).shuffle(Shuffle::Never).threads(1);
                    let trainer = clip.map_or(trainer.clone(), |clip| trainer.clip(clip));
                    let mut model = start.clone();
                    let found = watched(&trainer, &mut model, &data)[0].grad_norm.unwrap();
                    let case = format!("{layers}, {kernel}, {rows} rows, {name}, {momentum}, {clip:?}");
                    assert!((found - expected).abs() <= 1e-5 * expected, "{case}: {found}, expected {expected}");
                    if is_fused {
                        let kept = model.parameters().any(|parameter| parameter.gradient().is_some());
                        assert!(!kept, "{case}: plain descent leaves no gradients behind");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_watched_has_the_same_bits_for_any_number_of_threads() {
    let data = images(600);
    for layers in
        ["linear:10,relu", "linear:128,relu,linear:10", "linear:256,relu,dropout:0.3,linear:128,relu,linear:10,relu"]
    {
        for plain in [true, false] {
            let run = |threads: usize, sharing: Sharing| {
                let builder = Sequential::new(784).layers(&layers.parse().unwrap());
                let mut model = builder.relu_grad(ReluGrad::Exact).build(1).unwrap();
                // Large enough that units die.
                let trainer = if plain { Trainer::new(Sgd::new(1.5)) } else { Trainer::new(AdamW::new(0.05)) };
                let trainer = trainer.epochs(3).batch_size(4).threads(threads).sharing(sharing);
                watched(&trainer, &mut model, &data)
            };
            let expected = run(1, Sharing::Measured);
            assert!(expected[2].dead_units().iter().any(|dead| dead.dead > 0), "{layers}: none died");
            for threads in [2, 3, 4] {
                for sharing in [Sharing::Always, Sharing::Measured] {
                    assert_eq!(run(threads, sharing), expected, "{layers}, {threads} threads, {sharing:?}");
                }
            }
        }
    }
}

#[test]
fn a_callback_sees_the_rate_of_the_last_batch_and_the_largest_weight() {
    let data = images(20);
    let mut model = Sequential::new(784).linear(10).build(0).unwrap();
    let trainer =
        Trainer::new(Sgd::new(0.5)).schedule(MultiStep { milestones: vec![2, 3], gamma: 0.1 }).epochs(4).batch_size(8);
    let mut seen = Vec::new();
    let mut callback = |end: &mut EpochEnd<'_>| {
        let weight = end.model.parameter("0.weight").unwrap().values();
        let largest = weight.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let watch = end.record.watch.unwrap();
        assert_eq!(watch.largest_weight, largest);
        seen.push(watch.lr);
        ControlFlow::Continue(())
    };
    let mut state = TrainState::new(&model, trainer.optimizer());
    trainer.fit_from(&mut model, &mut state, &data, &data, &mut callback).unwrap();
    assert_eq!(seen, [0.5, 0.5, 0.05, 0.005]);
}
