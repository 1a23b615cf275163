//! What a caller gets who passes something that cannot be: a panic that says what and what was expected, at the function that
//! was called, and never an index out of bounds within.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flatnet::data::{Batch, Loader, Shuffle, TargetColumns, Targets};
use flatnet::kernels::SimdLevel;
use flatnet::loss::{Criterion, CrossEntropy, SquaredError};
use flatnet::nn::{Context, Sequential, Workspace};
use flatnet::{Dataset, Error};

/// The message of the panic that `f` ends with.
fn told(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("nothing was refused");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().expect("a panic with a message").to_string(),
    }
}

fn assert_told(what: &str, parts: &[&str], f: impl FnOnce()) {
    let message = told(f);
    assert!(parts.iter().all(|part| message.contains(part)), "{what}: {message}");
    for deep in ["index out of bounds", "out of range", "unwrap", "copy_from_slice", "mid > len"] {
        assert!(!message.contains(deep), "{what}: {message}");
    }
}

fn model() -> Sequential {
    Sequential::new(6).linear(4).relu().linear(3).build(0).unwrap()
}

#[test]
fn a_network_refuses_other_shapes_and_a_backward_without_its_forward() {
    let (model, context) = (model(), Context::train(0));
    assert_told("5 features", &["6"], || {
        model.forward(&[0.0; 5], &context, &mut Workspace::new());
    });
    assert_told("no forward", &["forward"], || {
        model.clone().backward(&[0.0; 6], &[0.0; 3], &context, &mut Workspace::new());
    });
    assert_told("another batch", &["forward"], || {
        let mut workspace = Workspace::new();
        model.forward(&[0.0; 12], &context, &mut workspace);
        model.clone().backward(&[0.0; 6], &[0.0; 3], &context, &mut workspace);
    });
    assert_told("a gradient too short", &["output_grad has 5 values, expected 6"], || {
        let mut workspace = Workspace::new();
        model.forward(&[0.0; 12], &context, &mut workspace);
        model.clone().backward(&[0.0; 12], &[0.0; 5], &context, &mut workspace);
    });
}

#[test]
fn a_criterion_refuses_targets_that_are_none() {
    let level = SimdLevel::detect();
    assert_told("a wrong label", &["3", "class"], || {
        Criterion::new(CrossEntropy::new(), 3).forward(level, &[0.0; 6], Targets::Classes(&[0, 3]), None);
    });
    assert_told("too few labels", &["6 values", "label for each sample"], || {
        Criterion::new(CrossEntropy::new(), 3).forward(level, &[0.0; 6], Targets::Classes(&[0]), None);
    });
    assert_told("values for classes", &["cross-entropy"], || {
        Criterion::new(CrossEntropy::new(), 3).forward(level, &[0.0; 6], Targets::Values(&[0.0; 6]), None);
    });
    assert_told("too few values", &["6 values of 3 outputs"], || {
        Criterion::new(SquaredError, 3).forward(level, &[0.0; 6], Targets::Values(&[0.0; 5]), None);
    });
    assert_told("too few weights", &["weights"], || {
        Criterion::new(SquaredError, 3).forward(level, &[0.0; 6], Targets::Values(&[0.0; 6]), Some(&[1.0]));
    });
    assert_told("no forward", &["forward"], || {
        Criterion::new(CrossEntropy::new(), 3).backward();
    });
}

#[test]
fn a_data_set_and_its_loader_refuse_rows_that_they_lack() {
    let targets = TargetColumns::Classes { labels: vec![0, 1, 1], classes: 2 };
    let set = Dataset::from_values(vec![0.5; 6], 2, targets, "by hand".into()).unwrap();
    assert_told("row 3 of 3", &["row 3 of a data set of 3"], || {
        set.select(&[0, 3]);
    });
    assert_told("batch 2 of 2", &["batch 2 of an epoch of 2"], || {
        let loader = Loader::new(&set, 2, Shuffle::Never, 0).unwrap();
        loader.load(2, SimdLevel::detect(), &mut Batch::new());
    });
}

#[test]
fn what_has_a_result_says_what_was_expected() {
    let mut model = model();
    let Err(Error::Shape { expected, found, .. }) = model.set_parameter("0.weight", &[0.0; 5]) else {
        panic!("5 values for 24 weights were taken");
    };
    assert!(expected.contains("24") && found.contains('5'), "{expected}, {found}");
    let error = model.set_parameter("7.weight", &[0.0; 24]).unwrap_err().to_string();
    assert!(error.contains("7.weight"), "{error}");
    let error = Sequential::new(0).linear(3).build(0).unwrap_err().to_string();
    assert!(error.contains('0') && error.contains("at least 1"), "{error}");
}
