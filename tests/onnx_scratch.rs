use nearside::format::onnx;
#[test]
fn all() {
    let mut dirs: Vec<String> = std::env::var("DIRS").unwrap().split(':').map(String::from).collect();
    let (mut ok, mut bad) = (0, 0);
    while let Some(d) = dirs.pop() {
        let mut files: Vec<_> = std::fs::read_dir(&d).unwrap().map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
        files.sort();
        for p in files {
            let b = std::fs::read(&p).unwrap();
            assert!(onnx::is_onnx(&b) && onnx::is_onnx(&b[..64.min(b.len())]), "{p:?}");
            let c = onnx::companions(&b).unwrap();
            let fs: Vec<(String, Vec<u8>)> = c.into_iter().map(|c| { let v = std::fs::read(p.with_file_name(&c)).unwrap(); (c, v) }).collect();
            let fr: Vec<(&str, &[u8])> = fs.iter().map(|(a, b)| (a.as_str(), b.as_slice())).collect();
            match onnx::read(&b, &fr) {
                Ok(m) => { ok += 1; if std::env::var("V").is_ok() { println!("{p:?} batched={} {}", m.batched, m.summary().unwrap()); } }
                Err(e) => { bad += 1; println!("{p:?}: {e}"); }
            }
        }
    }
    println!("ok {ok} bad {bad}");
}
