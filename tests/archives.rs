//! Keras's `.keras` archives that lie: about their members, or about what the weights are those of. Each is refused
//! with an error that says where, and nothing is allocated that a file merely claims.
#![cfg(all(feature = "formats", not(target_arch = "wasm32")))]

use nearside::{Error, ErrorKind, Model, format};

const WEIGHTS: &str = "model.weights.h5";

/// A member of a zip archive, and what its headers say of it.
#[derive(Clone)]
struct Member {
    name: String,
    /// In front of the bytes; the directory has the other one.
    local_name: String,
    bytes: Vec<u8>,
    flags: u16,
    method: u16,
    checksum: u32,
    size: usize,
}

fn member(name: &str, bytes: Vec<u8>) -> Member {
    let (checksum, size) = (rawzip::crc32(&bytes), bytes.len());
    Member { name: name.into(), local_name: name.into(), bytes, flags: 0, method: 0, checksum, size }
}

/// The archive of these members (APPNOTE 4.3), of which the end says that there are so many.
fn zip_of(members: &[Member], declared: usize) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let offset = (file.len() as u32).to_le_bytes();
        let header = |name: &str| {
            let mut header = vec![20, 0];
            header.extend(member.flags.to_le_bytes());
            header.extend(member.method.to_le_bytes());
            header.extend([0, 0, 33, 0]);
            header.extend(member.checksum.to_le_bytes());
            header.extend((member.bytes.len() as u32).to_le_bytes());
            header.extend((member.size as u32).to_le_bytes());
            header.extend((name.len() as u32).to_le_bytes());
            header
        };
        file.extend(b"PK\x03\x04");
        file.extend(header(&member.local_name));
        file.extend(member.local_name.bytes());
        file.extend(&member.bytes);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(header(&member.name));
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(member.name.bytes());
    }
    let (start, length) = (file.len() as u32, directory.len() as u32);
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([declared as u8, 0, declared as u8, 0]);
    file.extend(length.to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}

fn zip(members: &[Member]) -> Vec<u8> {
    zip_of(members, members.len())
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The members of a small model: version, architecture, weights.
fn members() -> Vec<Member> {
    let config = String::from_utf8(fixture("dress.weights.config.json")).unwrap();
    vec![
        member("metadata.json", br#"{"keras_version": "3.15.1"}"#.to_vec()),
        member("config.json", config.into_bytes()),
        member(WEIGHTS, fixture("dress.weights.h5")),
    ]
}

/// The model with another architecture.
fn with_config(change: impl Fn(&str) -> String) -> Result<Model, Error> {
    let mut members = members();
    let config = change(std::str::from_utf8(&members[1].bytes).unwrap());
    members[1] = member("config.json", config.into_bytes());
    format::read(&zip(&members))
}

#[track_caller]
fn refused(bytes: &[u8], kind: ErrorKind, message: &str) -> Error {
    let error = format::read(bytes).expect_err("an archive that lies was read");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(message), "{error}");
    error
}

#[test]
fn sound_ones_are_read() {
    let model = format::read(&zip(&members())).unwrap();
    assert_eq!(model, format::read(&fixture("dress.keras")).unwrap());
}

#[test]
fn every_prefix_is_refused() {
    let sound = zip(&members());
    for length in (0..sound.len()).step_by(3).chain(sound.len() - 400..sound.len()) {
        let error = format::read(&sound[..length]).expect_err("a prefix was read");
        assert_eq!(error.kind(), ErrorKind::Format, "{length} bytes: {error}");
        assert!(error.context().offset.is_some(), "{length} bytes: {error}");
    }
}

/// Makes a member say something that is not so.
type Lie = fn(&mut Member);

#[test]
fn members_that_are_not_what_they_declare_are_refused() {
    let cases: [(Lie, ErrorKind, &str); 8] = [
        (|member| member.bytes[1000] ^= 1, ErrorKind::Format, "checksum"),
        (|member| member.checksum ^= 1, ErrorKind::Format, "checksum"),
        (|member| member.size += 1, ErrorKind::Format, "bytes are in the archive"),
        (|member| member.method = 8, ErrorKind::Format, "compressed bytes are damaged"),
        (|member| (member.method, member.size) = (8, 1 << 31), ErrorKind::Format, "far more than weights do"),
        (|member| member.method = 12, ErrorKind::Unsupported, "neither stored nor deflated"),
        (|member| member.flags = 1, ErrorKind::Unsupported, "encrypted"),
        (|member| member.local_name = "model.weights.H5".into(), ErrorKind::Format, "another name"),
    ];
    for (change, kind, message) in cases {
        let mut members = members();
        change(&mut members[2]);
        let error = refused(&zip(&members), kind, message);
        assert_eq!(error.context().tensor.as_deref(), Some(WEIGHTS), "{error}");
        assert!(error.context().offset.is_some(), "{error}");
    }
}

#[test]
fn members_that_inflate_to_more_or_less_than_declared_are_refused() {
    // Six times "nearside" as zlib's compressobj(9, zlib.DEFLATED, -15) deflates it.
    let deflated = [203, 75, 77, 44, 42, 206, 76, 73, 205, 35, 146, 6, 0];
    let packed = |size| {
        let mut members = members();
        members[1] = Member { method: 8, size, checksum: 0, ..member("config.json", deflated.to_vec()) };
        zip(&members)
    };
    refused(&packed(47), ErrorKind::Format, "more bytes are in the archive");
    refused(&packed(49), ErrorKind::Format, "48 bytes are in the archive");
    refused(&packed(48), ErrorKind::Format, "checksum");
}

#[test]
fn two_members_of_one_name_are_refused() {
    let mut members = members();
    members.push(member("config.json", b"{}".to_vec()));
    refused(&zip(&members), ErrorKind::Format, "two members 'config.json'");
}

#[test]
fn directories_that_are_shorter_or_longer_than_declared_are_refused() {
    for declared in [0, 2, 4] {
        refused(&zip_of(&members(), declared), ErrorKind::Format, "declares");
    }
}

#[test]
fn missing_members_are_named() {
    let without = |name: &str| {
        let members: Vec<Member> = members().into_iter().filter(|member| member.name != name).collect();
        zip(&members)
    };
    refused(&without(WEIGHTS), ErrorKind::Format, "no member 'model.weights.h5'");
    // The architecture itself tells which Keras it is from.
    assert!(format::read(&without("metadata.json")).is_ok());
    let mut arrays = members();
    arrays[2] = member("model.weights.npz", Vec::new());
    refused(&zip(&arrays), ErrorKind::Unsupported, "not in one HDF5 file");
}

#[test]
fn weights_of_another_model_are_refused() {
    let layer = |error: &Error| error.context().layer.clone().unwrap_or_default();
    let wider = with_config(|config| config.replace("\"units\": 16", "\"units\": 17")).unwrap_err();
    assert_eq!((wider.kind(), layer(&wider)), (ErrorKind::Shape, "dense_3".to_string()));
    assert_eq!(wider.context().tensor.as_deref(), Some("layers/dense/vars/0"));
    let biased = with_config(|config| config.replacen("\"use_bias\": true", "\"use_bias\": false", 1));
    let biased = biased.unwrap_err();
    assert!(biased.to_string().contains("2 weights of this layer, 1 are needed"), "{biased}");
    // Other classes in the place of Dense: their groups are missing, and Dense's are left.
    let other = |class: &str| {
        with_config(|config| {
            let flat =
                format!(r#""class_name": "{class}", "config": {{"name": "dense_4", "trainable": true}}"#);
            let start = config.rfind("\"class_name\": \"Dense\"").unwrap();
            let end = config
                .rfind("\"registered_name\": null, \"build_config\": {\"input_shape\": [null, 16]}")
                .unwrap();
            format!("{}{flat}, {}", &config[..start], &config[end..])
        })
    };
    let fewer = other("Flatten").unwrap_err();
    assert!(fewer.to_string().contains("fewer layers of this class"), "{fewer}");
    assert_eq!(fewer.context().tensor.as_deref(), Some("layers/flatten"));
}

#[test]
fn weights_that_no_layer_has_are_named() {
    let shorter = with_config(|config| {
        // Without the last layer.
        let start = config.rfind(", {\"module\": \"keras.layers\", \"class_name\": \"Dense\"").unwrap();
        let end = config[start..].find("}], \"build_input_shape\"").unwrap() + start;
        format!("{}{}", &config[..start], &config[end + 1..])
    });
    let error = shorter.unwrap_err();
    assert!(error.to_string().contains("the architecture has no such layer"), "{error}");
    assert_eq!(error.context().tensor.as_deref(), Some("layers/dense_1"));
}
