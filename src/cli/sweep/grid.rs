//! From `--grid`, `--folds` and `--seeds` to a fixed list of runs with readable names. It knows settings by their words, not what runs do.

use std::ffi::OsString;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::cli::settings::{Setting, Settings, Value};
use crate::cli::{MAX_VALUE, shortened};

/// More are a slip of the finger, and file systems grow slow.
const MAX_RUNS: usize = 100_000;
/// File systems take names of 255 bytes; files in the folder have theirs.
const MAX_NAME: usize = 120;

/// A setting and the values that it takes in turn.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What clap knows it by.
    pub id: String,
    /// Its flag without the dashes.
    pub name: String,
    values: Vec<Choice>,
}

#[derive(Debug, Clone)]
struct Choice {
    text: String,
    words: Vec<OsString>,
}

/// One run of the sweep.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Of its folder.
    pub name: String,
    /// Which of the settings, counted from 0; runs that differ by their fold and seed alone have the same.
    pub setting: usize,
    /// The values of the axes, those of the grid before what is repeated.
    pub values: Vec<(String, String)>,
    /// What makes it this run.
    pub words: Vec<OsString>,
}

/// Settings that a run is repeated over: runs that differ by them alone are of one setting.
pub const REPEATED: [&str; 2] = ["fold", "seed"];

/// The axes of `--grid`, then the folds and the seeds as the last ones.
pub fn axes(grid: &[String], folds: Option<usize>, seeds: Option<&Seeds>) -> Result<Vec<Axis>, String> {
    let settings = Settings::of_train();
    let mut axes = Vec::new();
    for text in grid {
        let told = |problem: String| format!("--grid {}: {problem}", shortened(text, MAX_VALUE));
        axes.push(axis(&settings, text).map_err(told)?);
    }
    let mut repeat = |name: &str, values: Vec<String>| {
        let choice = |text: String| Choice { words: vec![format!("--{name}={text}").into()], text };
        axes.push(Axis { id: name.into(), name: name.into(), values: values.into_iter().map(choice).collect() });
    };
    if let Some(folds) = folds {
        repeat("fold", (1..=folds).map(|index| format!("{index}/{folds}")).collect());
    }
    if let Some(Seeds(seeds)) = seeds {
        repeat("seed", seeds.iter().map(ToString::to_string).collect());
    }
    for (at, axis) in axes.iter().enumerate() {
        if axes[..at].iter().any(|earlier| earlier.id == axis.id) {
            return Err(format!(
                "{} is asked for twice; give all its values in one --grid, --folds or --seeds",
                axis.name
            ));
        }
    }
    // A stable sort: what a setting is repeated over comes last, wherever it was given.
    axes.sort_by_key(|axis| REPEATED.iter().position(|id| axis.id == *id).map_or(0, |place| place + 1));
    if axes.is_empty() {
        return Err("nothing to sweep over; give --grid KEY=VALUES, --folds K or --seeds A..B".into());
    }
    Ok(axes)
}

fn axis(settings: &Settings, text: &str) -> Result<Axis, String> {
    let (key, values) = text.split_once('=').ok_or("expected KEY=VALUES, such as lr=0.01,0.1")?;
    let key = key.trim().trim_start_matches("--");
    let setting = settings.find(key).map_err(|problem| format!("{key}: {problem}"))?;
    if super::RUNS_OWN.contains(&setting.id()) {
        return Err(format!("{key}: is the same for all runs, or the sweep's own"));
    }
    let values = choices(setting, values)?;
    for (at, value) in values.iter().enumerate() {
        if values[..at].iter().any(|earlier| earlier.text == value.text) {
            return Err(format!("{} stands there twice", value.text));
        }
    }
    Ok(Axis { id: setting.id().into(), name: setting.name().into(), values })
}

/// `;` separates values where there is one; else `,`, unless commas stand within the setting's values, or the whole is a value
/// and its parts are none.
fn choices(setting: Setting<'_>, text: &str) -> Result<Vec<Choice>, String> {
    if text.trim().is_empty() {
        return Err("no values; expected some, such as lr=0.01,0.1".into());
    }
    let all = |separator: char| {
        // The last one may stand there for a single value.
        let text = if separator == ';' { text.trim_end().trim_end_matches(';') } else { text };
        text.split(separator).map(|part| choice(setting, part.trim())).collect::<Result<Vec<_>, _>>()
    };
    if text.contains(';') {
        return all(';');
    }
    if setting.has_commas() {
        return Ok(vec![choice(setting, text.trim())?]);
    }
    all(',').or_else(|problem| choice(setting, text.trim()).map(|one| vec![one]).map_err(|_| problem))
}

fn choice(setting: Setting<'_>, text: &str) -> Result<Choice, String> {
    if text.is_empty() {
        return Err("one of the values is empty".into());
    }
    let value = match text {
        "true" if setting.is_switch() => Value::Switch(true),
        "false" if setting.is_switch() => Value::Switch(false),
        _ => Value::Text(text.into()),
    };
    Ok(Choice { text: text.into(), words: setting.words(&value, Path::new(""))? })
}

/// Every run, in an order that the axes alone decide: the first axis changes slowest, seeds fastest.
pub fn runs(axes: &[Axis]) -> Result<Vec<Planned>, String> {
    let total = axes.iter().try_fold(1_usize, |total, axis| total.checked_mul(axis.values.len()));
    let total = total.filter(|total| *total <= MAX_RUNS).ok_or(format!("more than {MAX_RUNS} runs; ask for fewer"))?;
    let is_repeated = |axis: &&Axis| REPEATED.contains(&axis.id.as_str());
    let repeats: usize = axes.iter().filter(is_repeated).map(|axis| axis.values.len()).product();
    let mut runs: Vec<Planned> = Vec::with_capacity(total);
    for number in 0..total {
        let (mut rest, mut chosen) = (number, Vec::new());
        for axis in axes.iter().rev() {
            chosen.push((axis, &axis.values[rest % axis.values.len()]));
            rest /= axis.values.len();
        }
        chosen.reverse();
        let values: Vec<_> = chosen.iter().map(|(axis, value)| (axis.name.clone(), value.text.clone())).collect();
        let words = chosen.iter().flat_map(|(_, value)| value.words.iter().cloned()).collect();
        runs.push(Planned { name: folder_name(&values), setting: number / repeats, values, words });
    }
    let mut names: Vec<String> = runs.iter().map(|run| run.name.to_lowercase()).collect();
    names.sort();
    // Some file systems hold `A` and `a` for the same.
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        for run in &mut runs {
            run.name = with_digest(&run.name, &run.values);
        }
    }
    Ok(runs)
}

/// Such as `lr=0.1_seed=3`: letters, digits and `.,=+-_`, which no shell and no file system takes amiss.
fn folder_name(values: &[(String, String)]) -> String {
    let parts: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".,=+-_".contains(c) { c } else { '-' };
    let name: String = parts.join("_").chars().map(plain).collect();
    if name.len() <= MAX_NAME { name } else { with_digest(&name, values) }
}

/// Tells apart what the name alone does not.
fn with_digest(name: &str, values: &[(String, String)]) -> String {
    let digest = Sha256::digest(format!("{values:?}").as_bytes());
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}_{digits}", &name[..name.len().min(MAX_NAME)])
}

/// The seeds of `--seeds`, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

impl std::str::FromStr for Seeds {
    type Err = String;

    /// `0..9` with both ends, `1,5,7`, or both: `0..3,10`.
    fn from_str(text: &str) -> Result<Seeds, String> {
        let expected = || "expected seeds such as 0..9, which is 0 to 9 with both ends, or 1,5,7".to_string();
        let mut seeds = Vec::new();
        for part in text.split(',') {
            let number = |text: &str| text.trim().parse::<u64>().map_err(|_| expected());
            let (first, last) = match part.split_once("..") {
                Some((first, last)) => (number(first)?, number(last.trim().trim_start_matches('='))?),
                None => (number(part)?, number(part)?),
            };
            let most = (MAX_RUNS - seeds.len().min(MAX_RUNS)) as u64;
            match last.checked_sub(first) {
                None => return Err(format!("{first}..{last} ends before it begins; {}", expected())),
                Some(more) if more >= most => return Err(format!("more than {MAX_RUNS} seeds; ask for fewer")),
                Some(_) => seeds.extend(first..=last),
            }
        }
        let mut sorted = seeds.clone();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("seed {} stands there twice", pair[0])),
            None => Ok(Seeds(seeds)),
        }
    }
}

/// One of several machines that share a sweep: `I/N`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

impl Shard {
    /// The one machine.
    pub const ALL: Shard = Shard { number: 1, of: 1 };

    /// Whether the run of this number, counted from 0, is its part. They are dealt in turn, so that every shard has some of each setting.
    pub fn has(self, run: usize) -> bool {
        run % self.of == self.number - 1
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        let shard = numbers.filter(|(number, of)| (1..=*of).contains(number));
        let shard = shard.map(|(number, of)| Shard { number, of });
        shard.ok_or_else(|| "expected I/N with I from 1 to N, such as 1/4".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(grid: &[&str], seeds: Option<&str>) -> Result<Vec<String>, String> {
        let grid: Vec<String> = grid.iter().map(|text| text.to_string()).collect();
        let seeds = seeds.map(|text| text.parse().unwrap());
        Ok(runs(&axes(&grid, None, seeds.as_ref())?)?.into_iter().map(|run| run.name).collect())
    }

    #[test]
    fn folds_and_seeds_repeat_a_setting() {
        let grid = ["lr=0.1,0.2".to_string()];
        let runs = runs(&axes(&grid, Some(2), Some(&"5,6".parse().unwrap())).unwrap()).unwrap();
        let found: Vec<_> = runs.iter().map(|run| (run.name.as_str(), run.setting)).take(5).collect();
        let names = ["lr=0.1_fold=1-2_seed=5", "lr=0.1_fold=1-2_seed=6", "lr=0.1_fold=2-2_seed=5"];
        assert_eq!((&found[..3], found[4].1), (&names.map(|name| (name, 0))[..], 1));
        assert_eq!(runs.len(), 8);
        assert!(axes(&["fold=1/2".into()], Some(2), None).unwrap_err().starts_with("fold is asked for twice"));
    }

    #[test]
    fn runs_are_the_cross_product_in_the_order_of_the_flags_and_seeds_run_fastest() {
        assert_eq!(
            names(&["lr=0.01,0.1", "batch_size=8"], Some("0..1")).unwrap(),
            [
                "lr=0.01_batch-size=8_seed=0",
                "lr=0.01_batch-size=8_seed=1",
                "lr=0.1_batch-size=8_seed=0",
                "lr=0.1_batch-size=8_seed=1"
            ]
        );
        let grid = ["seed=4,2", "--lr=1"].map(String::from);
        let runs = runs(&axes(&grid, None, None).unwrap()).unwrap();
        assert_eq!(runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(), ["lr=1_seed=4", "lr=1_seed=2"]);
        assert_eq!((runs[0].setting, runs[1].setting), (0, 0));
        assert_eq!(runs[1].words, ["--lr=1", "--seed=2"]);
    }

    #[test]
    fn commas_separate_values_but_where_values_hold_them() {
        let values = |text: &str| {
            let settings = Settings::of_train();
            axis(&settings, text).map(|axis| axis.values.into_iter().map(|value| value.text).collect::<Vec<_>>())
        };
        assert_eq!(values("lr=0.01, 0.1").unwrap(), ["0.01", "0.1"]);
        assert_eq!(values("lr=0.01;0.1;").unwrap(), ["0.01", "0.1"]);
        assert_eq!(values("layers=linear:4,relu,linear:3").unwrap(), ["linear:4,relu,linear:3"]);
        assert_eq!(values("layers=linear:10,relu;linear:3").unwrap(), ["linear:10,relu", "linear:3"]);
        assert_eq!(values("class-weights=1,2,3;balanced").unwrap(), ["1,2,3", "balanced"]);
        assert_eq!(values("nesterov=true,false").unwrap(), ["true", "false"]);
        for (text, told) in [
            ("learning_rate=1", "did you mean lr?"),
            ("lr", "expected KEY=VALUES"),
            ("lr=", "no values"),
            ("lr= ", "no values"),
            ("lr=;", "one of the values is empty"),
            ("lr=0.1,,1", "one of the values is empty"),
            ("lr=0.1,", "one of the values is empty"),
            ("lr=0.1,0.1", "0.1 stands there twice"),
            ("lr=0.1,fast", "'fast' is not valid: expected a positive number"),
            ("layers=linear:10;dense:3", "'dense:3' is not valid"),
            ("nesterov=yes", "yes is not valid: expected true or false"),
            ("out=a,b", "the sweep's own"),
            ("json=true", "is no setting of a run"),
        ] {
            let problem = values(text).unwrap_err();
            assert!(problem.contains(told), "{text}: {problem}");
        }
        assert!(names(&["lr=1", "lr=2"], None).unwrap_err().contains("lr is asked for twice"));
        assert!(names(&["seed=1"], Some("0..1")).unwrap_err().contains("seed is asked for twice"));
        assert!(names(&[], None).unwrap_err().contains("nothing to sweep over"));
        let many = format!("seed={}", (0..400).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        let more = format!("lr={}", (1..400).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        assert!(names(&[&many, &more], None).unwrap_err().contains("more than 100000 runs"));
    }

    #[test]
    fn names_of_folders_are_plain_and_tell_runs_apart() {
        assert_eq!(
            names(&["layers=linear:10,relu;linear:3"], None).unwrap(),
            ["layers=linear-10,relu", "layers=linear-3"]
        );
        for grid in [["data=a/b;a-b"], ["data=A;a"], ["data=ä;ö"]] {
            let names = names(&grid, None).unwrap();
            assert!(names[0].to_lowercase() != names[1].to_lowercase(), "{names:?}");
            assert!(names.iter().all(|name| name.is_ascii() && !name.contains('/')), "{names:?}");
        }
        let long = "linear:7,relu,".repeat(40);
        let names = names(&[&format!("layers={long}linear:3;{long}linear:4")], None).unwrap();
        assert!(names[0] != names[1] && names.iter().all(|name| name.len() < 140), "{names:?}");
    }

    #[test]
    fn seeds_have_both_ends() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|seeds| seeds.0);
        assert_eq!(seeds("0..9").unwrap(), (0..10).collect::<Vec<_>>());
        assert_eq!(seeds("0..=2").unwrap(), [0, 1, 2]);
        assert_eq!(seeds("3").unwrap(), [3]);
        assert_eq!(seeds("5,1,7..8").unwrap(), [5, 1, 7, 8]);
        assert_eq!(seeds("18446744073709551615..18446744073709551615").unwrap(), [u64::MAX]);
        for text in
            ["", "..", "9..0", "a", "0..99999999999", "0..18446744073709551615", "1,1", "0..3,2", "-1..3", "1..2..3"]
        {
            assert!(seeds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shards_have_every_run_once() {
        let shards: Vec<Shard> = (1..=3).map(|number| format!("{number}/3").parse().unwrap()).collect();
        for run in 0..20 {
            assert_eq!(shards.iter().filter(|shard| shard.has(run)).count(), 1);
            assert!("1/1".parse::<Shard>().unwrap().has(run));
        }
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "/", "-1/3", "1/3/3", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
