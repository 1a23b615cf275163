//! What PyTorch computed, for the tests: the files of `tests/golden` that `make_optimizers.py` makes.

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

pub struct Golden {
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

impl Golden {
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let bytes = std::fs::read(folder.join(name).with_extension("safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        Golden { bytes, metadata }
    }

    /// What the metadata say under `key`, as JSON.
    pub fn json(&self, key: &str) -> serde_json::Value {
        serde_json::from_str(&self.metadata[key]).unwrap()
    }

    pub fn f64s(&self, name: &str) -> Vec<f64> {
        self.tensor(name, Dtype::F64).chunks(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    pub fn f32s(&self, name: &str) -> Vec<f32> {
        self.tensor(name, Dtype::F32).chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    fn tensor(&self, name: &str, dtype: Dtype) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tensor.dtype(), dtype, "{name}");
        tensor.data().to_vec()
    }
}
