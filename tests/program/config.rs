//! `train --config FILE`, and the `recipe.toml` that each run keeps.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{folder, json, refused, small_set, train_small};
use crate::common::{flatnet, stderr};

fn summary(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap()
}

/// A recipe that uses settings of every kind: switches, a list, numbers that are no round ones.
const UNUSUAL: [&str; 22] = [
    "--optimizer",
    "sgd",
    "--momentum",
    "0.7",
    "--nesterov",
    "--no-bias-decay",
    "--weight-decay=0.001",
    "--class-weights",
    "1,0.3,2",
    "--shuffle=epoch",
    "--batch-size=7",
    "--lr=3e-2",
    "--lr-schedule=cosine",
    "--warmup-epochs=1",
    "--clip-norm=0.9",
    "--label-smoothing=0.1",
    "--scale=standard",
    "--init=kaiming-normal",
    "--relu-grad=exact",
    "--seed=18446744073709551615",
    "--epochs=3",
    "--val-samples=all",
];

#[test]
fn a_runs_recipe_does_the_same_run_again_from_any_folder() {
    let (cwd, elsewhere) = (folder(), folder());
    // Data and run move together; the recipe finds the data by the way from one to the other.
    let set = cwd.path().join("100% set");
    fs::create_dir(&set).unwrap();
    crate::cli::write_set(&set, 60, 2, 3, 3);
    let first = || {
        let mut command = flatnet(cwd.path());
        command.args(["train", "--data", "100% set", "--train-samples=50", "--layers=linear:4,relu,linear:3"]);
        command
    };
    for (name, words) in [("plain", &["--val-samples=20", "--epochs=2"][..]), ("unusual", &UNUSUAL)] {
        let run = cwd.path().join(name);
        let done = json(first().args(words).args(["--json", "--out"]).arg(&run));
        let text = fs::read_to_string(run.join("recipe.toml")).unwrap();
        let again = json(
            flatnet(elsewhere.path()).args(["train", "--json", "--out", name, "--config"]).arg(run.join("recipe.toml")),
        );
        assert_eq!(again["weights_sha256"], done["weights_sha256"], "{text}");
        // Every setting but where it was run.
        for (setting, value) in done["recipe"].as_object().unwrap() {
            if !["data", "out"].contains(&setting.as_str()) {
                assert_eq!(&again["recipe"][setting], value, "{setting}\n{text}");
            }
        }
        let told = |run: &Path| {
            let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
            recipe.lines().filter(|line| !line.starts_with("data")).map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(told(&elsewhere.path().join(name)), told(&run));
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let (cwd, set) = (folder(), small_set());
    let conf = cwd.path().join("conf");
    fs::create_dir(&conf).unwrap();
    fs::write(conf.join("weights.txt"), "1 2 3").unwrap();
    let data = set.path().display();
    let text = format!(
        "\u{feff}# mine\ntrain_samples = 5_0\nval-samples = \"20\"\nlayers = [\"linear:4\", \"relu\", \"linear:3\"]\r\n\
         data = \"{data}\"\nlr = 0.5\nseed = 0x10\nbatch_size = 5\nepochs = 2\nnesterov = false\nno-report = true\n\
         overwrite = true\nout = \"run\"\nclass-weights = \"weights.txt\"\n"
    );
    fs::write(conf.join("mine.toml"), text).unwrap();
    for words in [&["train"][..], &[]] {
        let words = [words, &["--lr", "0.25", "--json", "--config=conf/mine.toml", "--batch-size=4"]].concat();
        let recipe = &json(flatnet(cwd.path()).args(words))["recipe"];
        for (setting, value) in [
            ("lr", 0.25.into()),
            ("batch_size", 4.into()),
            ("seed", 16.into()),
            ("epochs", 2.into()),
            ("train_samples", 50.into()),
            ("layers", "linear:4,relu,linear:3".into()),
            ("no_report", true.into()),
            ("optimizer", "sgd".into()),
            ("class_weights", serde_json::json!([1.0, 2.0, 3.0])),
        ] {
            assert_eq!(recipe[setting], value, "{setting}");
        }
        assert_eq!(recipe.get("optimizer_settings"), None);
        // Paths in the file start at its folder.
        assert!(summary(&conf.join("run"))["recipe"].is_object());
    }
    assert_eq!(crate::common::entries(cwd.path()), ["conf"]);
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    let (cwd, set) = (folder(), small_set());
    for (text, told) in [
        ("learning-rate = 1", "line 1: learning-rate: no such setting; did you mean lr?"),
        ("\n\nlearning_rate = 1", "line 3: learning_rate: no such setting; did you mean lr?"),
        ("epoch = 1", "line 1: epoch: no such setting; did you mean epochs?"),
        ("batch = 1", "did you mean batch-size?"),
        ("optimiser = 'adam'", "did you mean optimizer?"),
        ("\"\\u001b[31m\" = 1", "no such setting; flatnet train --help lists them"),
        ("json = true", "json: is no setting of a run"),
        ("config = 'more.toml'", "config: is no setting of a run"),
        ("lr = 1\nlr = 2", "line 2: "),
        ("train-samples = 50\ntrain_samples = 50", "line 2: train_samples: stands in line 1 already"),
        ("epochs = 2\nlr = true", "line 2: lr: true is not valid: expected a value"),
        ("lr = 'fast'", "line 1: lr: 'fast' is not valid: expected a positive number"),
        ("lr = -1", "line 1: lr: '-1' is not valid: expected a positive number"),
        ("lr = inf", "line 1: lr: 'inf' is not valid"),
        ("lr = [1, 2]", "line 1: lr: '1,2' is not valid"),
        ("lr = 1979-05-27", "line 1: lr: 1979-05-27 is not valid"),
        ("lr = { base = 1 }", "line 1: lr: expected a value, not a table"),
        ("[train]\nlr = 1", "line 1: train: no such setting"),
        ("[lr]\nlr = 1", "line 1: lr: expected a value, not a table"),
        ("epochs = 1.5", "line 1: epochs: '1.5' is not valid: expected 0 to 1000000"),
        ("epochs = 99999999999999999999", "line 1: epochs: '99999999999999999999' is not valid"),
        ("seed = 0xfffffffffffffffff", "line 1: seed: "),
        ("train-samples = 0", "line 1: train-samples: '0' is not valid"),
        ("scale = 'unitt'", "line 1: scale: 'unitt' is not valid: expected one of unit, standard"),
        ("layers = 'dense:10'", "line 1: layers: 'dense:10' is not valid"),
        ("layers = []", "line 1: layers: [] is not valid"),
        ("nesterov = 1", "line 1: nesterov: 1 is not valid: expected true or false"),
        ("nesterov = 'true'", "line 1: nesterov: true is not valid: expected true or false"),
        ("data = 5", "line 1: data: 5 is not valid: expected a path in quotes"),
        ("data = false", "line 1: data: false is not valid: expected a path in quotes"),
        ("data = \"a\\u0000b\"", "line 1: data: expected a text without a zero byte"),
        ("lr = ", "line 1: "),
        ("lr: 0.1", "line 1: "),
        ("{\"lr\": 0.1}", "is it TOML?"),
        ("\n\nlr = \"0.1", "line 3: "),
    ] {
        fs::write(cwd.path().join("config.toml"), text).unwrap();
        refused(train_small(cwd.path(), set.path()).args(["--config", "config.toml"]), 2, &["config.toml: ", told]);
    }
    // What the library alone knows is told with the line too, unless a flag said it.
    fs::write(cwd.path().join("config.toml"), "epochs = 1\nmomentum = 1.5\n").unwrap();
    let config = || {
        let mut command = train_small(cwd.path(), set.path());
        command.args(["--config", "config.toml", "--out", "run"]);
        command
    };
    refused(&mut config(), 1, &["config.toml: line 2: momentum: 1.5 is not valid: expected"]);
    refused(config().args(["--momentum", "2"]), 1, &["error: --momentum: 2 is not valid"]);
    config().args(["--momentum", "0.5"]).assert().success();
}

#[test]
fn what_is_no_file_of_settings_is_refused_in_one_line() {
    let (cwd, set) = (folder(), small_set());
    let write = |name: &str, bytes: &[u8]| fs::write(cwd.path().join(name), bytes).unwrap();
    fs::create_dir(cwd.path().join("folder")).unwrap();
    write("huge", &vec![b'#'; 3 << 20]);
    write("binary", &[0x1f, 0x8b, 8, 0, 0xff]);
    write("deep", format!("lr = {}1{}", "[".repeat(200_000), "]".repeat(200_000)).as_bytes());
    write("deep-tables", format!("lr = {}1{}", "{a=".repeat(100_000), "}".repeat(100_000)).as_bytes());
    write("long-key", format!("{} = 1", "k".repeat(500_000)).as_bytes());
    write("long-value", format!("lr = \"{}\"", "v".repeat(500_000)).as_bytes());
    for (name, told) in [
        ("folder", "is no plain file; name a file of settings, such as recipe.toml of a run (--config FILE)"),
        ("none.toml", "none.toml: cannot read: "),
        ("huge", "huge: is longer than 1048576 bytes"),
        ("binary", "binary: is no text in UTF-8"),
        ("deep", "deep: line 1: "),
        ("deep-tables", "deep-tables: line 1: "),
        ("long-key", "no such setting"),
        ("long-value", "vvv...' is not valid"),
        ("/dev/zero", "is no plain file"),
    ] {
        let mut command = train_small(cwd.path(), set.path());
        let output = command.args(["--config", name]).output().unwrap();
        assert!(stderr(&output).len() < 700, "{name}: {}", stderr(&output));
        refused(train_small(cwd.path(), set.path()).args(["--config", name]), 2, &[told]);
    }
    // An empty file sets nothing; a file that is asked for twice is asked for once too often.
    write("empty", b"");
    train_small(cwd.path(), set.path()).args(["--config", "empty", "--out", "run"]).assert().success();
    refused(train_small(cwd.path(), set.path()).args(["--config=empty", "--config=empty"]), 2, &["multiple times"]);
    refused(train_small(cwd.path(), set.path()).args(["--config=empty", "--lr=x"]), 2, &["'x' for '--lr"]);
    flatnet(cwd.path()).args(["train", "--config", "none.toml", "--help"]).assert().success();
}
