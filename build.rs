//! Packs the built-in model's networks, says whether `nvinfer` is in, and asks the linker
//! for what makes the binary smaller, where it can do it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// One copy of functions that came out the same (identical code folding), of which
/// there are thousands. lld can, GNU ld cannot.
const FOLD: &str = "-Wl,--icf=all";
/// The places that the loader is to relocate as a bitmap (DT_RELR): a megabyte less.
/// The loader must know it, which glibc does from 2.36 on.
const PACK: &str = "-Wl,-z,pack-relative-relocs";

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    pack()?;
    // The layouts of DeepStream are those of 64-bit processors, the only ones it runs on.
    println!("cargo:rustc-check-cfg=cfg(nvinfer)");
    if env::var_os("CARGO_FEATURE_NVINFER").is_some()
        && env::var("CARGO_CFG_TARGET_POINTER_WIDTH").is_ok_and(|width| width == "64")
    {
        println!("cargo:rustc-cfg=nvinfer");
    }
    // For tests/budget.rs: only an optimised program is held against its budget.
    println!("cargo:rustc-env=KINEWATCH_OPT_LEVEL={}", env::var("OPT_LEVEL").unwrap_or_default());
    // Of another machine's loader nothing is known.
    let native = env::var_os("HOST") == env::var_os("TARGET");
    for flag in [Some(FOLD), native.then_some(PACK)].into_iter().flatten() {
        if works(flag, native).unwrap_or(false) {
            println!("cargo:rustc-link-arg-bins={flag}");
        }
    }
    Ok(())
}

/// Writes both networks of the built-in model, one after the other, as one zstd frame:
/// they share their weights, and so the second takes next to nothing.
fn pack() -> io::Result<()> {
    let mut networks = Vec::new();
    for name in ["model.onnx", "stream.onnx"] {
        let path = Path::new("models/camera-events").join(name);
        println!("cargo:rerun-if-changed={}", path.display());
        networks.extend(fs::read(path)?);
    }
    let folder = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&folder).join("networks.zst"), zstd::encode_all(&networks[..], 19)?)
}

/// Links an empty program with the flag, and runs it where it can run; `None` where
/// it cannot be tried.
fn works(flag: &str, native: bool) -> Option<bool> {
    let folder = env::var_os("OUT_DIR")?;
    let (source, program) = (Path::new(&folder).join("probe.rs"), Path::new(&folder).join("probe"));
    fs::write(&source, "fn main() {}\n").ok()?;
    let mut rustc = Command::new(env::var_os("RUSTC")?);
    rustc.args(["--edition", "2024", "-C", &format!("link-arg={flag}")]);
    rustc.arg("--target").arg(env::var_os("TARGET")?);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.to_string_lossy()));
    }
    rustc.arg(&source).arg("-o").arg(&program);
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    Some(quiet(&mut rustc) && (!native || quiet(&mut Command::new(program))))
}
