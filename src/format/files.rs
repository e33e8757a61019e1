//! A model in several files: which of them is the model, and which are those it refers to.

use super::{
    Files, container,
    detect::{Content, content},
    keras, onnx, torch,
};
use crate::{Error, ErrorKind, Model, Result};

/// Reads a model from its files. Exactly one is the model; the others are those it refers to, and perhaps its
/// architecture as JSON. Any that nothing refers to are left alone, as a folder holds more than a model.
///
/// `config` is the architecture of weights that come without one: Keras's `model.to_json()`, or the modules of
/// [PyTorch's `nn.Sequential`](super::torch).
///
/// # Errors
/// As [`read`](super::read); and `Format` for a file that is missing, `Value` for an architecture that is not needed.
pub fn read_files(files: &Files, config: Option<&str>) -> Result<Model> {
    read_as(files, config, None)
}

/// [`read_files`] of a format that is known: `h5`, `keras`, `onnx`, `safetensors` or `tfjs`.
///
/// # Errors
/// As [`read_files`]; `Format` for a model of another format, `Value` for a format that is none.
pub fn read_as<'a>(files: &Files<'a>, config: Option<&'a str>, format: Option<&str>) -> Result<Model> {
    read_with(files, &Options { config, format, compiled: false })
}

/// What there is to say about a model's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The architecture of weights that come without one, as in [`read_files`].
    pub config: Option<&'a str>,
    /// The format that they have to be of, as in [`read_as`].
    pub format: Option<&'a str>,
    /// Whether to read what the model was compiled with, and what its optimizer remembers, which is twice as much as
    /// there are weights: of Keras's files. A container is read with all that it holds.
    pub compiled: bool,
}

/// [`read_files`] with options.
///
/// # Errors
/// As [`read_as`]; `Unsupported` for a model that was compiled with what nearside does not have, if that is asked for.
pub fn read_with<'a>(files: &Files<'a>, options: &Options<'a>) -> Result<Model> {
    let &Options { config, format, compiled } = options;
    if let Some(name) = format
        && !["h5", "keras", "onnx", "safetensors", "tfjs"].contains(&name)
    {
        let message =
            format!("there is no format '{name}'; use 'h5', 'keras', 'onnx', 'safetensors' or 'tfjs'");
        return Err(Error::value(message));
    }
    let parts = Parts::of(files)?;
    let found = parts.content.format();
    if let Some(name) = format.filter(|name| *name != found) {
        let message =
            format!("this is {found}, and the option 'format' says {name}; leave it out, or correct it");
        return Err(Error::format(message).offset(0));
    }
    let (main, bytes) = (parts.main, bytes(files, parts.main));
    let or_beside = |config: Option<&'a str>| config.map_or(parts.architecture, |config| Ok(Some(config)));
    match parts.content {
        Content::Container => no_config(config).and_then(|()| container::read(bytes)),
        Content::Safetensors => torch::read(bytes, or_beside(config)?),
        Content::Hdf5 => {
            let architecture = |complete| match complete {
                true => no_config(config).map(|()| None),
                false => or_beside(config),
            };
            keras::read_h5_with(bytes, architecture, compiled)
        }
        Content::Archive => no_config(config).and_then(|()| keras::read_archive_with(bytes, compiled)),
        Content::Onnx => no_config(config).and_then(|()| read_onnx(files, main, &parts.names)),
        Content::Tfjs(model) => {
            no_config(config).and_then(|()| model.read(|name| companion(files, main, name)))
        }
        Content::Architecture => Err(alone()),
    }
}

/// The format of a model: `h5`, `keras`, `onnx`, `safetensors` or `tfjs`.
///
/// # Errors
/// `Format` where there is no model.
pub fn format_of(files: &Files) -> Result<&'static str> {
    Ok(Parts::of(files)?.content.format())
}

/// Names of the files that the model refers to and that are not given, relative to its own place.
///
/// # Errors
/// `Format` where there is no model, or one that refers to files outside its folder.
pub fn companions(files: &Files) -> Result<Vec<String>> {
    let Parts { main, names, .. } = Parts::of(files)?;
    Ok(names.into_iter().filter(|name| find(files, main, name).is_none()).collect())
}

/// What the files are to the model.
struct Parts<'a> {
    /// Index of the model.
    main: usize,
    content: Content,
    /// Names of the files that it refers to.
    names: Vec<String>,
    /// Text of the file that holds the architecture, if there is one; an error if there are more.
    architecture: Result<Option<&'a str>>,
}

impl<'a> Parts<'a> {
    fn of(files: &Files<'a>) -> Result<Self> {
        if let [(_, bytes)] = files {
            let content = content(bytes)?;
            return Ok(Self {
                main: 0,
                names: references(&content, bytes)?,
                content,
                architecture: Ok(None),
            });
        }
        let (mut models, mut architectures, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (name, bytes)) in files.iter().enumerate() {
            match content(bytes) {
                Ok(Content::Architecture) => architectures.push((*name, *bytes)),
                Ok(content) => models.push((index, content)),
                // The bytes of a file beside the model can look like anything.
                Err(error) => refusals.push((*name, error)),
            }
        }
        if models.len() > 1 {
            // A file that a model refers to is no model itself, whatever it looks like.
            let used: Vec<usize> =
                models.iter().flat_map(|(main, content)| used(files, *main, content)).collect();
            models.retain(|(index, _)| !used.contains(index));
        }
        let mut models = models.into_iter();
        let Some((main, content)) = models.next() else {
            return Err(if architectures.is_empty() { no_model(refusals) } else { alone() });
        };
        if let Some((other, _)) = models.next() {
            let name = |index: usize| files.get(index).map_or("", |(name, _)| *name);
            let message = format!("'{}' and '{}' are both models; give one of them", name(main), name(other));
            return Err(Error::format(message));
        }
        let names = references(&content, bytes(files, main))?;
        Ok(Self { main, content, names, architecture: architecture(&architectures) })
    }
}

fn bytes<'a>(files: &Files<'a>, index: usize) -> &'a [u8] {
    files.get(index).map_or(&[], |(_, bytes)| bytes)
}

fn architecture<'a>(files: &[(&'a str, &'a [u8])]) -> Result<Option<&'a str>> {
    match files {
        [] => Ok(None),
        [(name, bytes)] => {
            let text = std::str::from_utf8(bytes).ok().map(|text| text.trim_start_matches('\u{feff}'));
            text.map(Some).ok_or_else(|| Error::format(format!("the file '{name}' is not UTF-8")))
        }
        [(first, _), (second, _), ..] => {
            let message =
                format!("'{first}' and '{second}' are both architectures; give one in the option 'config'");
            Err(Error::format(message))
        }
    }
}

fn no_config(config: Option<&str>) -> Result<()> {
    match config {
        None => Ok(()),
        Some(_) => {
            Err(Error::value("this file has an architecture of its own; leave out the option 'config'"))
        }
    }
}

fn alone() -> Error {
    Error::unsupported("this is an architecture without weights; give the file with the weights as well")
}

/// None of the files is a model: the reason of one that could be one for another tool, or that of each.
fn no_model(refusals: Vec<(&str, Error)>) -> Error {
    const LISTED: usize = 4;
    if let Some((_, error)) = refusals.iter().find(|(_, error)| error.kind() == ErrorKind::Unsupported) {
        return error.clone();
    }
    let mut message = "none of the files is a model".to_string();
    for (name, error) in refusals.iter().take(LISTED) {
        message.push_str(&format!("; '{name}': {error}"));
    }
    Error::format(message)
}

/// The most files that a model may refer to: a page would fetch them all.
const MAX_COMPANIONS: usize = 4096;

/// Names of the files that a model refers to.
fn references(content: &Content, bytes: &[u8]) -> Result<Vec<String>> {
    let names = match content {
        Content::Tfjs(model) => model.paths(),
        Content::Onnx => onnx::companions(bytes)?,
        _ => Vec::new(),
    };
    if names.len() > MAX_COMPANIONS {
        let message = format!("the model refers to {} files, {MAX_COMPANIONS} are the most", names.len());
        return Err(Error::unsupported(message));
    }
    names.iter().try_for_each(|name| check_name(name))?;
    Ok(names)
}

/// Reads ONNX, with the files it refers to under the names that it has for them.
fn read_onnx(files: &Files, main: usize, names: &[String]) -> Result<Model> {
    let mut beside = Vec::new();
    for name in names {
        beside.push((name.as_str(), companion(files, main, name)?));
    }
    onnx::read(bytes(files, main), &beside)
}

/// Refuses a name that could lead out of the model's folder, on any system or on the web.
fn check_name(name: &str) -> Result<()> {
    let escapes = name.is_empty()
        || name.starts_with('/')
        || name.contains(|c: char| c == '\\' || c < ' ' || c == '\u{7f}')
        // A drive's letter or a scheme.
        || name.split('/').next().is_some_and(|first| first.contains(':'))
        || name.split('/').any(|part| part == "..");
    match escapes {
        true => Err(Error::format(format!(
            "the model refers to the file '{name}', which does not lie in its folder; a relative name without '..' is \
             needed"
        ))),
        false => Ok(()),
    }
}

/// Indices of the given files that a model refers to.
fn used(files: &Files, main: usize, content: &Content) -> Vec<usize> {
    let names = references(content, bytes(files, main)).unwrap_or_default();
    names.iter().filter_map(|name| find(files, main, name)).collect()
}

/// The file that a model refers to.
fn companion<'a>(files: &Files<'a>, main: usize, name: &str) -> Result<&'a [u8]> {
    let index = find(files, main, name).ok_or_else(|| {
        let message = format!("the model refers to the file '{name}', which is missing; give it as well");
        Error::format(message)
    })?;
    Ok(bytes(files, index))
}

/// The file of that name: beside the model, or else the only one that is called so.
fn find(files: &Files, main: usize, name: &str) -> Option<usize> {
    fn last(path: &str) -> &str {
        path.rsplit('/').next().unwrap_or_default()
    }
    fn plain(path: &str) -> &str {
        path.trim_start_matches("./")
    }
    let name = plain(name);
    let main_path = files.get(main).map_or("", |(path, _)| plain(path));
    let folder = main_path.strip_suffix(last(main_path)).unwrap_or_default();
    let beside = |path: &str| path.strip_prefix(folder) == Some(name);
    let called = |path: &str| last(path) == last(name);
    let only = |fits: &dyn Fn(&str) -> bool| {
        let mut found =
            files.iter().enumerate().filter(|(index, (path, _))| *index != main && fits(plain(path)));
        found.next().filter(|_| found.next().is_none()).map(|(index, _)| index)
    };
    only(&beside).or_else(|| only(&|path| path == name)).or_else(|| only(&called))
}
