//! `loadtest compare` with the peers that need nothing but Rust, on a stack of its own.

use std::process::Command;

use serde_json::Value;

#[test]
fn every_side_does_the_job() {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args([
            "compare",
            "--peers",
            "millstream-batch,noop,plain",
            "--json",
        ])
        .args([
            "--events",
            "200",
            "--keys",
            "20",
            "--rounds",
            "1",
            "--warm-up",
            "1",
        ])
        .args(["--latency", "1", "--latency-rate", "50"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sides = report["sides"].as_array().unwrap();
    let names: Vec<_> = sides
        .iter()
        .map(|side| side["peer"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["millstream", "millstream-batch", "noop", "plain"]);
    for side in sides {
        assert!(side["rate"]["median"].as_f64().unwrap() > 0.0, "{side}");
        let latency = &side["latency"];
        assert_eq!(latency["events"], 50, "{side}");
        assert!(latency["p50_ms"].as_f64().unwrap() > 0.0, "{side}");
    }
    // The state is written, and nothing else is journaled.
    let log_records = |at: usize| sides[at]["log_records"].as_f64().unwrap().round();
    assert_eq!((log_records(0), log_records(2)), (5.0, 4.0), "{report}");
    assert!(log_records(1) < 1.0, "{report}");
}
