//! The program stays small and starts quickly.

use std::path::Path;
use std::process::Command;

/// `make lean` holds the binaries that are packaged in the same way.
#[test]
fn the_release_binary_keeps_to_its_budget() {
    if env!("KINEWATCH_OPT_LEVEL") != "3" {
        eprintln!("not held against the budget: this is no release build");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("scripts/budget.sh"))
        .args(["release", env!("CARGO_BIN_EXE_kinewatch")])
        .output()
        .expect("scripts/budget.sh");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
