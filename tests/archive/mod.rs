//! Archives of models with what they answer, as `fixtures/onnx_archive.py` writes them.

use npyz::npz::NpzArchive;
use std::io::Cursor;

type Archive = NpzArchive<Cursor<Vec<u8>>>;

/// A fixture.
pub fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn array<T: npyz::Deserialize>(archive: &mut Archive, name: &str) -> Vec<T> {
    archive.by_name(name).unwrap().unwrap_or_else(|| panic!("no array '{name}'")).into_vec().unwrap()
}

/// A case of an archive.
pub struct Case {
    pub name: String,
    pub model: Vec<u8>,
    /// Inputs and outputs, as `in:NAME` and `out:NAME`.
    pub arrays: Vec<(String, Vec<f32>)>,
    /// What is said in strings, as `text:NAME`, `names:NAME` or `error`.
    pub texts: Vec<(String, String)>,
}

impl Case {
    pub fn array(&self, kind: &str, name: &str) -> Option<&[f32]> {
        let name = format!("{kind}:{name}");
        self.arrays.iter().find(|(own, _)| *own == name).map(|(_, values)| &values[..])
    }

    pub fn text(&self, kind: &str, name: &str) -> Option<Vec<&str>> {
        let name = format!("{kind}:{name}");
        self.texts.iter().find(|(own, _)| *own == name).map(|(_, text)| text.split('|').collect())
    }
}

/// The cases of an archive, which `onnx_archive.py` describes.
pub fn cases(archive: Vec<u8>) -> Vec<Case> {
    let mut archive = NpzArchive::new(Cursor::new(archive)).unwrap();
    let text = String::from_utf8(array(&mut archive, "cases")).unwrap();
    let models: Vec<u8> = array(&mut archive, "models");
    let values: Vec<f32> = array(&mut archive, "values");
    let (mut models, mut values) = (&models[..], &values[..]);
    let mut cases = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (model, rest) = models.split_at(fields[1].parse().unwrap());
        models = rest;
        let mut case = Case { name: fields[0].into(), model: model.to_vec(), arrays: vec![], texts: vec![] };
        for pair in fields[2..].chunks(2) {
            let name = pair[0].to_string();
            if name.starts_with("in:") || name.starts_with("out:") {
                let (array, rest) = values.split_at(pair[1].parse().unwrap());
                values = rest;
                case.arrays.push((name, array.to_vec()));
            } else {
                case.texts.push((name, pair[1].to_string()));
            }
        }
        cases.push(case);
    }
    cases
}
