//! Copies the shaders to where the crate includes them, without their comments and indentation: every page downloads
//! them. WGSL has no strings, so a `//` always begins a comment.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=shaders");
    let out = env::var("OUT_DIR")?;
    for entry in fs::read_dir("shaders")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
        let mut code: String = lines.filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect();
        // Not around operators: a space may keep two of them from being one.
        for mark in ["(", ")", "{", "}", ",", ";", ":", "=", "->"] {
            code = code.replace(&format!(" {mark}"), mark).replace(&format!("{mark} "), mark);
        }
        fs::write(Path::new(&out).join(path.file_name().ok_or("a shader without a name")?), code)?;
    }
    Ok(())
}
