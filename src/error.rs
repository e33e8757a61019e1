//! The crate's one error type.

use std::fmt;

/// What went wrong, for programs to branch on. Reaches JavaScript as `error.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are damaged, truncated, or not a model file.
    Format,
    /// The file is sound but uses something nearside does not implement.
    Unsupported,
    /// A tensor has the wrong number of elements or dimensions.
    Shape,
    /// An argument or a parameter has a value outside its domain.
    Value,
    /// The device asked for is missing, or was lost.
    Device,
    /// More memory is needed than there is.
    Memory,
}

impl ErrorKind {
    /// The kind's name as JavaScript sees it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Unsupported => "unsupported",
            Self::Shape => "shape",
            Self::Value => "value",
            Self::Device => "device",
            Self::Memory => "memory",
        }
    }
}

/// Where it went wrong, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Name of the layer.
    pub layer: Option<String>,
    /// Name of the tensor, as the file spells it.
    pub tensor: Option<String>,
    /// Byte offset in the file.
    pub offset: Option<u64>,
}

/// An error with its kind, a message that says what to do, and the place it happened.
///
/// ```
/// use nearside::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Shape, "12 values given, 784 needed").layer("hidden");
/// assert_eq!(error.to_string(), "layer 'hidden': 12 values given, 784 needed");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Content>);

/// Behind a pointer: every `?` of the crate copies an error.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    kind: ErrorKind,
    message: String,
    context: Context,
}

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error without a place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Content { kind, message: message.into(), context: Context::default() }))
    }

    /// A damaged or foreign file.
    pub fn format(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Format, message)
    }

    /// Something sound that nearside does not implement.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A wrong shape.
    pub fn shape(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, message)
    }

    /// A value outside its domain.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Value, message)
    }

    /// A missing or lost device.
    pub fn device(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Device, message)
    }

    /// Memory that could not be had.
    pub fn memory(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Memory, message)
    }

    /// Names the layer, unless an inner call already did.
    pub fn layer(mut self, name: impl Into<String>) -> Self {
        self.0.context.layer.get_or_insert(name.into());
        self
    }

    /// Names the tensor, unless an inner call already did.
    pub fn tensor(mut self, name: impl Into<String>) -> Self {
        self.0.context.tensor.get_or_insert(name.into());
        self
    }

    /// Gives the byte offset in the file.
    pub fn offset(mut self, bytes: u64) -> Self {
        self.0.context.offset.get_or_insert(bytes);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where it went wrong.
    pub fn context(&self) -> &Context {
        &self.0.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { layer, tensor, offset } = &self.0.context;
        if let Some(layer) = layer {
            write!(f, "layer '{layer}': ")?;
        }
        if let Some(tensor) = tensor {
            write!(f, "tensor '{tensor}': ")?;
        }
        f.write_str(&self.0.message)?;
        match offset {
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
