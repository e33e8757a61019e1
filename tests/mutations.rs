//! Every small fixture of every format, damaged in thousands of ways: it gives a model or a typed error, and no more
//! memory is taken than the file warrants.

#![cfg(all(not(target_arch = "wasm32"), feature = "engine", feature = "formats"))]

#[allow(dead_code, reason = "what the models answer is for another test")]
mod archive;
mod damage;
#[path = "damage/hdf5.rs"]
mod hdf5;
#[path = "damage/zip.rs"]
mod zip;

use damage::Random;
use nearside::{
    Dtype, Session,
    format::{self, container},
};
use peak_alloc::PeakAlloc;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Held during a whole test: memory is counted for the whole process, with what others prepare.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many times the file's size may be allocated at once, and what besides.
const FACTOR: usize = 4;
const ALLOWANCE: usize = 64 << 20;

/// Larger fixtures hold nothing that the smaller ones do not.
const MAX_BYTES: usize = 64 * 1024;
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// A model: its file, those that belong to it, and the architecture where they have none.
#[derive(Clone)]
struct Case {
    files: Vec<(String, Vec<u8>)>,
    config: Option<String>,
}

/// Says which round a panic comes from.
struct Round<'a>(&'a str, usize);

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while reading {}, damaged in round {}", self.0, self.1);
        }
    }
}

/// Files of the fixtures whose name fits.
fn find(fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(FOLDER)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if fits(name) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The model in a file, with the files beside it that belong to it.
fn case(path: &Path, belongs: impl Fn(&str) -> bool) -> Case {
    let file =
        |path: &Path| (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read(path).unwrap());
    let mut files = vec![file(path)];
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let beside = entry.unwrap().path();
        if beside != path && belongs(beside.file_name().unwrap().to_str().unwrap()) {
            files.push(file(&beside));
        }
    }
    Case { files, config: fs::read_to_string(path.with_extension("config.json")).ok() }
}

/// The small models whose main file's name `fits`, with the files that `belong` to them.
fn cases(fits: impl Fn(&str) -> bool, belongs: impl Fn(&str) -> bool) -> Vec<(String, Case)> {
    let found = find(fits).into_iter().map(|path| (path.display().to_string(), case(&path, &belongs)));
    let cases: Vec<_> = found.filter(|(_, case)| case.size() <= MAX_BYTES).collect();
    assert!(cases.len() > 1, "the fixtures are not there");
    cases
}

impl Case {
    fn size(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Cuts a file short, damages it in places, or puts a part of another model's in.
    fn damage(&mut self, other: &Self, random: &mut Random) {
        if let Some(config) = self.config.take_if(|_| random.below(3) == 0) {
            let mut bytes = config.into_bytes();
            random.damage(&mut bytes);
            self.config = Some(String::from_utf8_lossy(&bytes).into_owned());
            return;
        }
        let count = self.files.len();
        let bytes = &mut self.files[random.below(count)].1;
        let donor = &other.files[random.below(other.files.len())].1;
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => {
                let from = random.below(donor.len());
                let part = &donor[from..donor.len().min(from + random.below(512))];
                let end = bytes.len().min(at + part.len());
                drop(bytes.splice(at..end, part.iter().copied()));
            }
            _ => random.damage(bytes),
        }
    }

    /// Reads the model within its bounds, and does with it what a page does: it can be written as a container, read
    /// again as the same, and made ready. Whether there was one.
    fn read(&self) -> bool {
        let files: Vec<_> =
            self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let read = bounded(self.size(), || format::read_files(&files, self.config.as_deref()));
        let Ok(model) = read else { return false };
        let written = container::write(&model).expect("what was read can be written");
        let again = container::read(&written).expect("what was written can be read");
        assert_eq!(container::write(&again).unwrap(), written);
        let _ = bounded(written.len(), || Session::from_model(again, Dtype::F32));
        true
    }
}

/// Fails when more memory is taken than files of `size` bytes warrant.
fn bounded<T>(size: usize, act: impl FnOnce() -> T) -> T {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = act();
    let peak = MEMORY.peak_usage() - before;
    assert!(peak <= FACTOR * size + ALLOWANCE, "{peak} bytes allocated for files of {size}");
    result
}

/// Damages each of the cases `rounds` times. `repair` restores what a reader checks before it looks at the rest.
fn mutate(cases: &[(String, Case)], rounds: usize, repair: impl Fn(&mut Vec<u8>)) {
    let (mut random, mut read) = (Random(rounds as u64), 0);
    for (name, sound) in cases {
        for (_, bytes) in &sound.files {
            let mut repaired = bytes.clone();
            repair(&mut repaired);
            assert_eq!(&repaired, bytes, "{name}: nothing is there to be mended");
        }
        for round in 0..rounds {
            let _says = Round(name, round);
            let mut damaged = sound.clone();
            damaged.damage(&cases[random.below(cases.len())].1, &mut random);
            damaged.files.iter_mut().for_each(|(_, bytes)| repair(bytes));
            read += usize::from(damaged.read());
        }
    }
    // Damage that never reaches the weights, or always stops at the signature, would test nothing.
    let all = cases.len() * rounds;
    assert!(read > all / 200 && read < all, "{read} of {all} were read");
}

fn none(_: &str) -> bool {
    false
}

#[test]
fn keras_hdf5_files() {
    let _turn = turn();
    mutate(&cases(|name| name.ends_with(".h5"), none), 200, |bytes| hdf5::repair(bytes));
}

#[test]
fn tensorflow_js_models() {
    let _turn = turn();
    mutate(&cases(|name| name == "model.json", |name| name.ends_with(".bin")), 1000, |_| ());
}

#[test]
fn safetensors_of_other_tools() {
    let _turn = turn();
    mutate(&cases(|name| name.ends_with(".safetensors"), none), 2000, |_| ());
}

#[test]
fn containers() {
    let _turn = turn();
    let mut containers = Vec::new();
    for (name, case) in cases(|name| name.ends_with(".h5"), none) {
        let Ok(model) = format::read(&case.files[0].1) else { continue };
        let file = ("model.safetensors".to_string(), container::write(&model).unwrap());
        containers.push((name, Case { files: vec![file], config: None }));
    }
    mutate(&containers, 500, |_| ());
}

#[test]
fn keras_archives() {
    let _turn = turn();
    let mut archives = cases(|name| name.ends_with(".keras"), none);
    archives.extend(rewritten(format::Output::Keras));
    mutate(&archives, 200, |bytes| zip::repair(bytes));
}

/// The models of Keras's files as nearside writes them.
fn rewritten(output: format::Output) -> Vec<(String, Case)> {
    let mut models = Vec::new();
    for (name, case) in cases(|name| name.ends_with(".h5"), none) {
        let Ok(model) = format::read(&case.files[0].1) else { continue };
        // Keras has no layer for some of what its own become.
        let Ok(file) = format::write(&model, output, Dtype::F32) else { continue };
        models.push((name, Case { files: vec![("model".to_string(), file)], config: None }));
    }
    models
}

#[test]
fn onnx_models() {
    let _turn = turn();
    let mut models = Vec::new();
    for name in ["node_cases", "graph_cases", "sklearn_cases"] {
        for case in archive::cases(archive::bytes(&format!("onnx/{name}.npz"))) {
            let file = ("model.onnx".to_string(), case.model);
            models.push((format!("{name}: {}", case.name), Case { files: vec![file], config: None }));
        }
    }
    mutate(&models, 50, |_| ());
}

#[test]
fn checksums_of_hdf5_are_mended() {
    let _turn = turn();
    let sound = fs::read(format!("{FOLDER}/dress_latest.h5")).unwrap();
    let headers = (0..sound.len()).filter(|&at| at == 0 || sound[at..].starts_with(b"OHDR"));
    let mut count = 0;
    for at in headers {
        let mut bytes = sound.clone();
        bytes[at + 20] ^= 1;
        let damaged = bytes.clone();
        hdf5::repair(&mut bytes);
        assert_ne!(bytes, damaged, "the checksum of the block at {at}");
        bytes[at + 20] ^= 1;
        hdf5::repair(&mut bytes);
        assert_eq!(bytes, sound);
        count += 1;
    }
    assert!(count > 10);
}
