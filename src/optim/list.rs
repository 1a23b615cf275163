//! From a name and typed-in settings to what trains. What stands in the list, [`OPTIMIZERS`], is tested by what stands below.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::optim::{OPTIMIZERS, Optimizer};

/// Every setting of every optimizer, but for the learning rate that all have. `None` stands for the optimizer's default.
/// What a setting means is told where the optimizers set it, under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the optimizers' methods of these names have the words")]
pub struct Settings {
    pub momentum: Option<f64>,
    pub nesterov: Option<bool>,
    pub dampening: Option<f64>,
    pub weight_decay: Option<f64>,
    pub decay_biases: Option<bool>,
    pub beta1: Option<f64>,
    pub beta2: Option<f64>,
    pub eps: Option<f64>,
    pub amsgrad: Option<bool>,
    pub alpha: Option<f64>,
    pub centered: Option<bool>,
    pub lr_decay: Option<f64>,
    pub initial_accumulator_value: Option<f64>,
}

impl Settings {
    /// The names of those that have a value.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        // All fields by name, so that a new one cannot be forgotten.
        let Settings {
            momentum,
            nesterov,
            dampening,
            weight_decay,
            decay_biases,
            beta1,
            beta2,
            eps,
            amsgrad,
            alpha,
            centered,
            lr_decay,
            initial_accumulator_value,
        } = *self;
        let given = [
            ("momentum", momentum.is_some()),
            ("nesterov", nesterov.is_some()),
            ("dampening", dampening.is_some()),
            ("weight_decay", weight_decay.is_some()),
            ("decay_biases", decay_biases.is_some()),
            ("beta1", beta1.is_some()),
            ("beta2", beta2.is_some()),
            ("eps", eps.is_some()),
            ("amsgrad", amsgrad.is_some()),
            ("alpha", alpha.is_some()),
            ("centered", centered.is_some()),
            ("lr_decay", lr_decay.is_some()),
            ("initial_accumulator_value", initial_accumulator_value.is_some()),
        ];
        given.into_iter().filter_map(|(name, given)| given.then_some(name))
    }
}

/// The names that [`build`] takes, as `--optimizer` writes them.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPTIMIZERS.iter().map(|(name, _)| *name)
}

/// The optimizer of this name, validated.
///
/// # Errors
/// [`Error::Setting`] if there is none of this name, if a setting is given that it does not have, or if one is outside its
/// domain.
pub fn build(name: &str, lr: f32, settings: &Settings) -> Result<Box<dyn Optimizer>> {
    let Some((_, make)) = OPTIMIZERS.iter().find(|(known, _)| *known == name) else {
        let expected = format!("one of {}", names().collect::<Vec<_>>().join(", "));
        return Err(Error::Setting { name: "optimizer", found: format!("'{name}'"), expected });
    };
    let optimizer = make(lr, settings);
    let has = optimizer.settings();
    if let Some(unknown) = settings.given().find(|setting| !has.contains_key(*setting)) {
        let having =
            OPTIMIZERS.iter().filter(|(_, make)| make(lr, &Settings::default()).settings().contains_key(unknown));
        let having: Vec<_> = having.map(|(name, _)| *name).collect();
        return Err(Error::Setting {
            name: unknown,
            found: format!("a value for optimizer {name}"),
            expected: format!("none, as only {} has it", having.join(" or ")),
        });
    }
    optimizer.validate()?;
    Ok(optimizer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::kernels::SimdLevel;
    use crate::kernels::testing::{levels, random};
    use crate::optim::OptimizerState;
    use crate::optim::golden::Golden;

    /// Each optimizer by default, and with each of its flags set and numbers given that it does not have by default.
    fn variants() -> Vec<Box<dyn Optimizer>> {
        let numbers =
            json!({ "momentum": 0.5, "weight_decay": 0.25, "lr_decay": 0.5, "initial_accumulator_value": 0.125 });
        let mut found = Vec::new();
        for name in names() {
            let default = build(name, 0.125, &Settings::default()).unwrap();
            for (setting, value) in default.settings() {
                let mut given = Map::new();
                match value {
                    Value::Bool(flag) => given.insert(setting.clone(), json!(!flag)),
                    _ if numbers.get(&setting).is_some() => given.insert(setting.clone(), numbers[&setting].clone()),
                    _ => continue,
                };
                if setting == "nesterov" {
                    given.insert("momentum".into(), json!(0.5));
                }
                if setting == "centered" {
                    found.push(typed(name, &given));
                    given.insert("momentum".into(), json!(0.5));
                }
                found.push(typed(name, &given));
            }
            found.push(default);
        }
        found
    }

    fn typed(name: &str, given: &Map<String, Value>) -> Box<dyn Optimizer> {
        let settings: Settings = serde_json::from_value(Value::Object(given.clone())).unwrap();
        build(name, 0.125, &settings).unwrap()
    }

    /// Parameters and slots after each step, the buffers cut into pieces of these lengths over and over.
    fn run(
        optimizer: &dyn Optimizer,
        level: SimdLevel,
        decays: bool,
        start: &[f32],
        steps: usize,
        pieces: &[usize],
        mut gradient: impl FnMut(usize, &[f32]) -> Vec<f32>,
    ) -> Vec<Vec<f32>> {
        let mut state = OptimizerState::new(optimizer, start.len());
        let mut params = start.to_vec();
        let mut after = Vec::new();
        for step in 1..=steps {
            let grads = gradient(step, &params);
            let (mut at, mut pieces) = (0, pieces.iter().cycle());
            while at < params.len() {
                let end = params.len().min(at + pieces.next().unwrap());
                let mut slots: Vec<&mut [f32]> = state.slots.iter_mut().map(|slot| &mut slot[at..end]).collect();
                let (params, grads) = (&mut params[at..end], &grads[at..end]);
                optimizer.update(level, optimizer.lr(), step as u64, decays, params, grads, &mut slots);
                at = end;
            }
            let slots = state.slots.iter().flat_map(|slot| slot.iter().copied());
            after.push(params.iter().copied().chain(slots).collect());
        }
        after
    }

    fn bits(runs: &[Vec<f32>]) -> Vec<Vec<u32>> {
        runs.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
    }

    /// Fifty steps of every optimizer, each with settings of every kind, against the same in float64 by PyTorch.
    ///
    /// In each step a parameter is rounded once, by half an ulp (6e-8), and its change by some ulps of itself, which is
    /// small beside the parameter. The gradient pulls towards a target, so that errors fade as new ones come.
    #[test]
    fn fifty_steps_end_where_pytorch_ends() {
        const RELATIVE: f64 = 1e-6;
        let golden = Golden::read("optimizers");
        let (start, noise) = (golden.f32s("start"), golden.f64s("noise"));
        let (curvature, target) = (golden.f64s("curvature"), golden.f64s("target"));
        let n = start.len();
        let recorded: Vec<usize> = golden.f64s("recorded").iter().map(|step| *step as usize).collect();
        let mut seen = BTreeMap::new();
        for case in golden.json("cases").as_array().unwrap() {
            let label = case["case"].as_str().unwrap();
            let name = case["optimizer"].as_str().unwrap();
            let settings = serde_json::from_value(case["settings"].clone()).unwrap();
            let optimizer = build(name, case["lr"].as_f64().unwrap() as f32, &settings).unwrap();
            *seen.entry(name.to_string()).or_insert(0) += 1;
            let expected = golden.f64s(&format!("after.{label}"));
            let gradient = |step: usize, params: &[f32]| -> Vec<f32> {
                let noise = &noise[(step - 1) * n..][..n];
                (0..n).map(|i| (curvature[i] * (f64::from(params[i]) - target[i]) + noise[i]) as f32).collect()
            };
            let steps = *recorded.last().unwrap();
            let mut first = None;
            for level in levels() {
                for pieces in [&[n][..], &[16], &[1, 5, 16, 3]] {
                    let after = run(&*optimizer, level, true, &start, steps, pieces, gradient);
                    let first = first.get_or_insert_with(|| after.clone());
                    assert!(bits(&after) == bits(first), "{label}: {} in pieces of {pieces:?} differs", level.name());
                }
            }
            let after = first.unwrap();
            for (step, expected) in recorded.iter().zip(expected.chunks(n)) {
                let largest = expected.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
                for (i, (found, expected)) in after[step - 1].iter().zip(expected).enumerate() {
                    let error = (f64::from(*found) - expected).abs();
                    let bound = RELATIVE * largest;
                    assert!(
                        error <= bound,
                        "{label}, step {step}, at {i}: {found}, not {expected}: {error:e} > {bound:e}"
                    );
                }
            }
        }
        for name in names() {
            assert!(seen.get(name).is_some_and(|cases| *cases >= 3), "{name}: too few cases in {seen:?}");
        }
    }

    #[test]
    fn what_does_not_decay_goes_as_without_decay() {
        let (start, grads) = (random(37, 1), random(37 * 5, 2));
        let gradient = |step: usize, _: &[f32]| grads[(step - 1) * 37..][..37].to_vec();
        for name in names() {
            let decay = |weight_decay| Settings { weight_decay: Some(weight_decay), ..Settings::default() };
            let (with, without) = (build(name, 0.1, &decay(0.5)).unwrap(), build(name, 0.1, &decay(0.0)).unwrap());
            let of = |optimizer: &dyn Optimizer, decays| {
                run(optimizer, SimdLevel::detect(), decays, &start, 5, &[37], gradient)
            };
            assert_eq!(of(&*with, false), of(&*without, true), "{name}");
            assert_ne!(of(&*with, true), of(&*without, true), "{name}");
        }
    }

    #[test]
    fn nothing_subnormal_is_kept() {
        let tiny: Vec<f32> = (0..37).map(|i| f32::MIN_POSITIVE / 2.0 * random(37, 1)[i]).collect();
        for optimizer in variants().iter().filter(|optimizer| !optimizer.is_plain()) {
            for level in levels() {
                let mut params = tiny.clone();
                let mut slots = vec![tiny.iter().map(|value| value.abs()).collect::<Vec<_>>(); optimizer.slots()];
                let mut borrowed: Vec<&mut [f32]> = slots.iter_mut().map(|slot| &mut slot[..]).collect();
                optimizer.update(level, 1e-6, 2, true, &mut params, &[0.0; 37], &mut borrowed);
                let kept = params.iter().chain(slots.iter().flatten()).find(|value| value.is_subnormal());
                assert_eq!(kept, None, "{optimizer:?}");
            }
        }
    }

    #[test]
    fn a_gradient_that_is_not_a_number_is_not_hidden() {
        for optimizer in variants() {
            for level in levels() {
                let after = run(&*optimizer, level, true, &[1.0; 17], 2, &[17], |step, _| {
                    vec![if step == 1 { f32::NAN } else { 1.0 }; 17]
                });
                assert!(after.iter().all(|values| values[..17].iter().all(|value| value.is_nan())), "{optimizer:?}");
            }
        }
    }

    #[test]
    fn settings_are_read_back() {
        for optimizer in variants() {
            let mut settings = optimizer.settings();
            assert_eq!(settings.remove("lr"), Some(json!(0.125)));
            let again = typed(optimizer.name(), &settings);
            assert_eq!(format!("{again:?}"), format!("{optimizer:?}"));
        }
        assert_eq!(build("adam", 0.1, &Settings::default()).unwrap().settings()["lr"], json!(0.1));
    }

    /// Below 0 no number of any optimizer is in its domain.
    #[test]
    fn each_setting_has_a_domain_and_an_error_that_names_it() {
        for name in names() {
            for (setting, value) in build(name, 0.1, &Settings::default()).unwrap().settings() {
                if !value.is_number() || setting == "lr" {
                    continue;
                }
                let settings = serde_json::from_value(json!({ &*setting: -1.0 })).unwrap();
                let error = build(name, 0.1, &settings).unwrap_err().to_string();
                assert!(error.starts_with(&format!("{setting}: -1 is not valid")), "{error}");
            }
            for lr in [0.0, -1.0, f32::NAN, f32::INFINITY] {
                let error = build(name, lr, &Settings::default()).unwrap_err().to_string();
                assert!(error.starts_with("lr: "), "{error}");
            }
        }
    }

    #[test]
    fn a_setting_that_an_optimizer_lacks_is_refused_with_those_that_have_it() {
        let momentum = Settings { momentum: Some(0.9), ..Settings::default() };
        assert_eq!(
            build("adam", 0.1, &momentum).unwrap_err().to_string(),
            "momentum: a value for optimizer adam is not valid: expected none, as only sgd or rmsprop has it"
        );
        assert_eq!(
            build("sdg", 0.1, &momentum).unwrap_err().to_string(),
            format!("optimizer: 'sdg' is not valid: expected one of {}", names().collect::<Vec<_>>().join(", "))
        );
        // Every setting belongs to someone, and is found to be given under its own name.
        let Value::Object(all) = serde_json::to_value(Settings::default()).unwrap() else { panic!("a map") };
        for setting in all.keys() {
            let given = |value| serde_json::from_value::<Settings>(json!({ &**setting: value }));
            let settings = given(json!(0.5)).or_else(|_| given(json!(true))).unwrap();
            assert_eq!(settings.given().collect::<Vec<_>>(), [setting]);
            let having = OPTIMIZERS.iter().filter(|(_, make)| make(0.1, &settings).settings().contains_key(setting));
            assert!(having.count() > 0, "no optimizer has {setting}");
        }
    }
}
