//! What strangers may hand us: model bundles made to fill memory, or damaged in every
//! way, and broken configurations and states. Nothing of it takes the process down,
//! hangs it or makes it take memory beyond its limits. Alone in its file, as the
//! counting allocator serves the whole process.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kinewatch::config::Config;
use kinewatch::error::{Kind, Result};
use kinewatch::model::{Bundle, Mode, Model};
use kinewatch::service::StateFile;
use prost::Message;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, type_proto,
};

/// Counts the bytes that live, and the most that did.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        let live = LIVE.fetch_add(memory.size(), Ordering::Relaxed) + memory.size();
        MOST.fetch_max(live, Ordering::Relaxed);
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, memory: Memory) {
        LIVE.fetch_sub(memory.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, memory) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Those that look at the memory of the process come one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// What `f` gives, the most bytes that it had taken and how long it took.
fn measured<T>(f: impl FnOnce() -> T) -> (T, usize, Duration) {
    let before = LIVE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let began = Instant::now();
    let outcome = f();
    (outcome, MOST.load(Ordering::Relaxed).saturating_sub(before), began.elapsed())
}

/// Nothing here takes as long unless it hangs; other work on the machine, or a stop of
/// it, is allowed for.
const HANGS: Duration = Duration::from_secs(240);

// Networks.

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: attribute_proto::AttributeType::Int as i32,
        i: value,
        ..Default::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: attribute_proto::AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

fn tensor_attribute(name: &str, tensor: TensorProto) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: attribute_proto::AttributeType::Tensor as i32,
        t: Some(tensor),
        ..Default::default()
    }
}

fn graph_attribute(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: attribute_proto::AttributeType::Graph as i32,
        g: Some(graph),
        ..Default::default()
    }
}

const FLOAT: i32 = 1;
const INT64: i32 = 7;
const BOOL: i32 = 9;

fn stored(name: &str, kind: i32, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: kind,
        dims: dims.to_vec(),
        raw_data,
        ..Default::default()
    }
}

fn numbers(name: &str, values: &[i64]) -> TensorProto {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    stored(name, INT64, &[values.len() as i64], raw)
}

fn scalar(name: &str, value: i64) -> TensorProto {
    stored(name, INT64, &[], value.to_le_bytes().to_vec())
}

fn floats(name: &str, dims: &[i64], value: f32) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    stored(name, FLOAT, dims, (0..count).flat_map(|_| value.to_le_bytes()).collect())
}

fn node(kind: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: format!("{output} node"),
        op_type: kind.into(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes,
        ..Default::default()
    }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|dim| Dimension {
            value: Some(dimension::Value::DimValue(*dim)),
            ..Default::default()
        })
        .collect();
    let tensor = type_proto::Tensor { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
    let kind =
        TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

/// A network that works, with more in it: five logits from the mean of a clip, to
/// which the mean of `bomb` is added where it is made.
fn network(initializers: Vec<TensorProto>, nodes: Vec<NodeProto>) -> ModelProto {
    let mut graph = GraphProto {
        name: "bomb".into(),
        input: vec![value("clip", &[1, 3, 4, 16, 16])],
        output: vec![ValueInfoProto { name: "logits".into(), ..value("", &[1, 5]) }],
        initializer: initializers,
        node: nodes,
        ..Default::default()
    };
    graph.initializer.push(floats("weights", &[3, 5], 0.5));
    let last = if graph.node.iter().any(|node| node.output == ["bomb"]) {
        graph.node.push(node("ReduceMax", &["bomb"], "most", vec![int("keepdims", 0)]));
        graph.node.push(node("Add", &["means", "most"], "sum", vec![]));
        "sum"
    } else {
        "means"
    };
    let axes = vec![ints("axes", &[2, 3, 4]), int("keepdims", 0)];
    graph.node.insert(0, node("ReduceMean", &["clip"], "means", axes));
    graph.node.push(node("MatMul", &[last, "weights"], "logits", vec![]));
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { version: 13, ..Default::default() }],
        graph: Some(graph),
        ..Default::default()
    }
}

const MANIFEST: &str = "name = \"bomb\"\ntask = \"single-label\"\n[input]\nframes = 4\nrate = 5.0\nsize = [16, 16]\nresize = \"stretch\"\ncolour = \"RGB\"\nmean = [0.45, 0.45, 0.45]\nstd = [0.225, 0.225, 0.225]\n";

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bundle(network: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.onnx"), network).unwrap();
    fs::write(folder.path().join("labels.txt"), "one\ntwo\nthree\nfour\nfive\n").unwrap();
    let manifest = format!("sha256 = \"{}\"\n{MANIFEST}", sum(network));
    fs::write(folder.path().join("model.toml"), manifest).unwrap();
    folder
}

/// Loads a bundle and runs it over a clip.
fn load(folder: &Path) -> Result<()> {
    let model = Model::load(Bundle::load(folder)?, None, 1)?;
    let mut classifier = model.classifier()?;
    let input = model.bundle().input();
    let frame = vec![0.5; input.frame_len()];
    for _ in 0..input.frames {
        classifier.push(&frame, true)?;
    }
    Ok(())
}

/// It is refused, with the words that a person needs, and took less than 64 MiB.
#[track_caller]
fn refused(what: &str, network: &ModelProto, word: &str) {
    let folder = bundle(&network.encode_to_vec());
    let (outcome, most, took) = measured(|| load(folder.path()));
    let error = outcome.expect_err(what);
    println!("{what}: {error}");
    let text = error.to_string();
    assert!(text.contains(word), "{what}: no {word:?} in {text}");
    assert!(text.contains("Remedy"), "{what}: {text}");
    assert_eq!(error.kind(), Kind::Config, "{what}: {text}");
    assert!(most < 64 << 20, "{what}: {most} bytes were taken before: {text}");
    assert!(took < HANGS, "{what}: {took:?}");
}

#[test]
fn a_network_that_would_fill_memory_is_refused_before_it_does() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The network without a bomb is good.
    load(bundle(&network(vec![], vec![]).encode_to_vec()).path()).unwrap();
    let plain = node("Neg", &["one"], "bomb", vec![]);
    let harmless = network(vec![floats("one", &[1], 1.0)], vec![plain.clone()]);
    load(bundle(&harmless.encode_to_vec()).path()).unwrap();

    let large = [100_000, 100_000];
    let one = || floats("one", &[1], 1.0);
    let limit = "limit";
    for (what, stored_tensor) in [
        ("an initializer of 40 GB", stored("one", FLOAT, &large, vec![0; 4])),
        ("one that overflows", stored("one", FLOAT, &[1 << 32, 1 << 32, 16], vec![0; 4])),
        ("one of a negative axis", stored("one", FLOAT, &[-1, 16], vec![0; 4])),
        ("one with nothing in it", stored("one", FLOAT, &large, vec![])),
    ] {
        refused(what, &network(vec![stored_tensor.clone()], vec![plain.clone()]), limit);
        let constant = node("Constant", &[], "one", vec![tensor_attribute("value", stored_tensor)]);
        refused(what, &network(vec![], vec![constant, plain.clone()]), limit);
    }
    refused(
        "an initializer that holds less than it says",
        &network(vec![stored("one", FLOAT, &[100, 100], vec![0; 4])], vec![plain.clone()]),
        "expected 40000",
    );

    // Each makes "bomb" of small numbers.
    let pads = numbers("n", &[0, 0, 0, 0, 0, 0, 0, 0, 30_000, 30_000]);
    let scales = stored(
        "n",
        FLOAT,
        &[5],
        [1f32, 1., 1., 1e4, 1e4].iter().flat_map(|f| f.to_le_bytes()).collect(),
    );
    let cases: Vec<(&str, Vec<TensorProto>, Vec<NodeProto>)> = vec![
        (
            "ConstantOfShape",
            vec![numbers("n", &large)],
            vec![node("ConstantOfShape", &["n"], "bomb", vec![])],
        ),
        (
            "Expand",
            vec![one(), numbers("n", &large)],
            vec![node("Expand", &["one", "n"], "bomb", vec![])],
        ),
        (
            "Expand of the clip",
            vec![numbers("n", &[100, 1_000, 3, 4, 16, 16])],
            vec![node("Expand", &["clip", "n"], "bomb", vec![])],
        ),
        (
            "Tile",
            vec![numbers("n", &[1, 1, 1_000, 1_000, 16])],
            vec![node("Tile", &["clip", "n"], "bomb", vec![])],
        ),
        (
            "Tile that wraps round",
            vec![numbers("n", &[1, 1, 1 << 62, 1, 1])],
            vec![node("Tile", &["clip", "n"], "bomb", vec![])],
        ),
        (
            "Range",
            vec![scalar("from", 0), scalar("to", 1_000_000_000), scalar("step", 1)],
            vec![node("Range", &["from", "to", "step"], "bomb", vec![])],
        ),
        ("Pad", vec![pads], vec![node("Pad", &["clip", "n"], "bomb", vec![])]),
        (
            "Resize by sizes",
            vec![numbers("n", &[1, 3, 4, 50_000, 50_000])],
            vec![node("Resize", &["clip", "", "", "n"], "bomb", vec![])],
        ),
        (
            "Resize by scales",
            vec![scales],
            vec![node("Resize", &["clip", "", "n"], "bomb", vec![])],
        ),
        (
            "OneHot",
            vec![numbers("n", &[1; 1000]), scalar("depth", 2_000_000), floats("of", &[2], 1.0)],
            vec![node("OneHot", &["n", "depth", "of"], "bomb", vec![])],
        ),
        (
            "RandomNormal",
            vec![],
            vec![node("RandomNormal", &[], "bomb", vec![ints("shape", &large)])],
        ),
        (
            "a product of a column and a row",
            vec![floats("a", &[40_000, 1], 1.0), floats("b", &[1, 40_000], 1.0)],
            vec![node("MatMul", &["a", "b"], "bomb", vec![])],
        ),
        (
            "a sum of a column and a row",
            vec![floats("a", &[40_000, 1], 1.0), floats("b", &[1, 40_000], 1.0)],
            vec![node("Add", &["a", "b"], "bomb", vec![])],
        ),
        (
            "a convolution with wide borders",
            vec![floats("w", &[1, 3, 1, 1, 1], 1.0)],
            vec![node(
                "Conv",
                &["clip", "w"],
                "bomb",
                vec![ints("pads", &[0, 20_000, 20_000, 0, 20_000, 20_000])],
            )],
        ),
        (
            "a convolution turned round",
            vec![floats("w", &[3, 1, 1, 1, 1], 1.0)],
            vec![node(
                "ConvTranspose",
                &["clip", "w"],
                "bomb",
                vec![ints("strides", &[1, 4_000, 4_000])],
            )],
        ),
        (
            "a stride beyond 64 bits",
            vec![floats("w", &[3, 1, 1, 1, 1], 1.0)],
            vec![node(
                "ConvTranspose",
                &["clip", "w"],
                "bomb",
                vec![ints("strides", &[1, 1 << 62, 4])],
            )],
        ),
        (
            "doubling forty times",
            vec![floats("t0", &[16], 1.0)],
            (0..40)
                .map(|i| {
                    let (from, to) = (format!("t{i}"), format!("t{}", i + 1));
                    let to = if i == 39 { "bomb".to_owned() } else { to };
                    node("Concat", &[&from, &from], &to, vec![int("axis", 0)])
                })
                .collect(),
        ),
        (
            "thirty constants of 100 MB",
            vec![numbers("n", &[25_000_000])],
            (0..30)
                .flat_map(|i| {
                    let (made, most) = (format!("c{i}"), format!("m{i}"));
                    let make = node("ConstantOfShape", &["n"], &made, vec![]);
                    [make, node("ReduceMax", &[&made], &most, vec![int("keepdims", 0)])]
                })
                .chain([node("Add", &["m0", "m29"], "bomb", vec![])])
                .collect(),
        ),
        (
            "a shape that is computed",
            vec![numbers("n", &[300]), numbers("m", &[400])],
            vec![
                node("Mul", &["n", "m"], "side", vec![]),
                node("Concat", &["side", "side"], "shape", vec![int("axis", 0)]),
                node("ConstantOfShape", &["shape"], "bomb", vec![]),
            ],
        ),
    ];
    for (what, stored, nodes) in cases {
        refused(what, &network(stored.clone(), nodes.clone()), limit);
        // The same where nothing needs it.
        let mut dead = network(stored, nodes);
        if let Some(graph) = &mut dead.graph {
            graph.node.retain(|node| node.output != ["most"] && node.output != ["sum"]);
            let last = graph.node.last_mut().unwrap();
            last.input[0] = "means".into();
        }
        refused(&format!("{what}, not needed"), &dead, limit);
    }

    // Eight that all live until the maximum of all is known.
    let mut nodes = Vec::new();
    let names: Vec<String> = (0..8).map(|i| format!("e{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        nodes.push(node("Expand", &["clip", "n"], name, vec![]));
        nodes.push(node("ReduceMax", &[name], &format!("m{i}"), vec![int("keepdims", 0)]));
    }
    let most: Vec<String> = (0..8).map(|i| format!("m{i}")).collect();
    let most: Vec<&str> = most.iter().map(String::as_str).collect();
    nodes.push(node("Sum", &most, "all", vec![]));
    for (i, name) in names.iter().enumerate() {
        nodes.push(node("Add", &[name, "all"], &format!("a{i}"), vec![]));
        let highest = format!("r{i}");
        nodes.push(node("ReduceMax", &[&format!("a{i}")], &highest, vec![int("keepdims", 0)]));
    }
    let highest: Vec<String> = (0..8).map(|i| format!("r{i}")).collect();
    let highest: Vec<&str> = highest.iter().map(String::as_str).collect();
    nodes.push(node("Sum", &highest, "bomb", vec![]));
    let many = network(vec![numbers("n", &[64, 1_000, 3, 4, 16, 16])], nodes);
    refused("eight of 786 MB at once", &many, "one step would take");

    // In a branch, and in a loop.
    let then = GraphProto {
        name: "then".into(),
        node: vec![node("ConstantOfShape", &["n"], "made", vec![])],
        output: vec![ValueInfoProto { name: "made".into(), ..Default::default() }],
        ..Default::default()
    };
    let branches = vec![
        graph_attribute("then_branch", then.clone()),
        graph_attribute("else_branch", then.clone()),
    ];
    let yes = stored("yes", BOOL, &[], vec![1]);
    let branch = node("If", &["yes"], "bomb", branches);
    refused("a branch", &network(vec![yes, numbers("n", &large)], vec![branch]), limit);
    let body = GraphProto {
        name: "body".into(),
        input: vec![value("row", &[16])],
        node: vec![node("Expand", &["row", "n"], "made", vec![])],
        initializer: vec![numbers("n", &[100_000, 10_000, 16])],
        output: vec![ValueInfoProto { name: "made".into(), ..Default::default() }],
        ..Default::default()
    };
    let scan = node(
        "Scan",
        &["rows"],
        "bomb",
        vec![graph_attribute("body", body), int("num_scan_inputs", 1)],
    );
    refused("a loop", &network(vec![floats("rows", &[4, 16], 1.0)], vec![scan]), limit);
}

#[test]
fn a_network_that_would_never_be_read_to_its_end_is_refused() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let one = floats("one", &[1], 1.0);
    // More nodes than anybody's.
    let many = (0..20_100).map(|i| node("Neg", &["one"], &format!("n{i}"), vec![])).collect();
    refused("20,100 nodes", &network(vec![one.clone()], many), "20000 nodes");
    // A circle.
    let circle = network(
        vec![],
        vec![
            node("Neg", &["b"], "a", vec![]),
            node("Neg", &["a"], "b", vec![]),
            node("Neg", &["b"], "bomb", vec![]),
        ],
    );
    let folder = bundle(&circle.encode_to_vec());
    let (outcome, most, took) = measured(|| load(folder.path()));
    assert!(outcome.is_err() && most < 64 << 20 && took < HANGS, "{outcome:?} {most} {took:?}");
    // Weights in another file, wherever that is.
    for place in ["../../etc/passwd", "weights.bin", "/etc/passwd"] {
        let mut outside = one.clone();
        outside.raw_data = Default::default();
        outside.data_location = Some(DataLocation::External as i32);
        let entry = StringStringEntryProto { key: "location".into(), value: place.into() };
        outside.external_data = vec![entry];
        let constant =
            node("Constant", &[], "held", vec![tensor_attribute("value", outside.clone())]);
        let inner = network(vec![], vec![constant, node("Neg", &["held"], "bomb", vec![])]);
        refused("weights elsewhere", &inner, "another file");
        let inner = network(vec![outside], vec![node("Neg", &["one"], "bomb", vec![])]);
        refused("weights elsewhere", &inner, "another file");
    }
    // A name of an axis that is a formula without end: it means nothing here.
    let mut formula = network(vec![], vec![]);
    let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    for text in [deep, "floor(".repeat(60), "1+".repeat(100_000)] {
        let graph = formula.graph.as_mut().unwrap();
        let mut info = value("means", &[1, 3]);
        let Some(type_proto::Value::TensorType(tensor)) = &mut info.r#type.as_mut().unwrap().value
        else {
            panic!("a tensor");
        };
        tensor.shape.as_mut().unwrap().dim[0].value = Some(dimension::Value::DimParam(text));
        graph.value_info = vec![info];
        let folder = bundle(&formula.encode_to_vec());
        let (outcome, _, took) = measured(|| load(folder.path()));
        outcome.unwrap();
        assert!(took < HANGS, "{took:?}");
    }
}

// The other files of a bundle.

#[test]
fn a_link_that_leads_out_of_the_bundle_is_refused_and_one_within_is_not() {
    let outside = bundle(&network(vec![], vec![]).encode_to_vec());
    for file in ["model.onnx", "labels.txt", "model.toml"] {
        let folder = bundle(&network(vec![], vec![]).encode_to_vec());
        let path = folder.path().join(file);
        fs::remove_file(&path).unwrap();
        symlink(outside.path().join(file), &path).unwrap();
        let text = load(folder.path()).unwrap_err().to_string();
        assert!(text.contains("link that leads out") && text.contains(file), "{text}");
        fs::remove_file(&path).unwrap();
        fs::copy(outside.path().join(file), folder.path().join("real")).unwrap();
        symlink("real", &path).unwrap();
        load(folder.path()).unwrap();
        // A folder in it that leads elsewhere is no way either.
        symlink(outside.path(), folder.path().join("folder")).unwrap();
        let manifest = fs::read_to_string(folder.path().join("model.toml")).unwrap();
        let manifest = format!("labels = \"folder/labels.txt\"\n{manifest}");
        fs::remove_file(folder.path().join("model.toml")).unwrap();
        fs::write(folder.path().join("model.toml"), manifest).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("leads out"));
    }
    // The bundle itself may be reached through a link.
    let other = tempfile::tempdir().unwrap();
    symlink(outside.path(), other.path().join("bundle")).unwrap();
    load(&other.path().join("bundle")).unwrap();
}

#[test]
fn labels_can_be_held_to_a_sum_and_a_sum_must_be_one() {
    let folder = bundle(&network(vec![], vec![]).encode_to_vec());
    let manifest = fs::read_to_string(folder.path().join("model.toml")).unwrap();
    let write = |line: String| {
        fs::write(folder.path().join("model.toml"), format!("{line}\n{manifest}")).unwrap();
    };
    let labels = folder.path().join("labels.txt");
    write(format!("labels_sha256 = \"{}\"", sum(&fs::read(&labels).unwrap())));
    load(folder.path()).unwrap();
    fs::write(&labels, "one\ntwo\nfour\nthree\nfive\n").unwrap();
    let text = load(folder.path()).unwrap_err().to_string();
    assert!(text.contains("labels.txt") && text.contains("SHA-256"), "{text}");
    for wrong in ["", "abc", &"g".repeat(64), &"a".repeat(65)] {
        write(format!("labels_sha256 = \"{wrong}\""));
        let text = load(folder.path()).unwrap_err().to_string();
        assert!(text.contains("labels_sha256") && text.contains("64 hexadecimal"), "{text}");
    }
    let text = manifest.replacen("sha256 = \"", "sha256 = \"x", 1);
    fs::write(folder.path().join("model.toml"), text).unwrap();
    assert!(load(folder.path()).unwrap_err().to_string().contains("sha256: \"x"));
}

#[test]
fn a_clip_or_a_state_that_would_fill_memory_is_refused() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = bundle(&network(vec![], vec![]).encode_to_vec());
    let path = folder.path().join("model.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        manifest.replace("[16, 16]", "[4096, 4096]").replace("frames = 4", "frames = 64"),
    )
    .unwrap();
    let (outcome, most, _) = measured(|| load(folder.path()));
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("input.size") && text.contains("limit is 1024 MiB"), "{text}");
    assert!(most < 64 << 20, "{most}");

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/open-states.onnx");
    let network = fs::read(golden).unwrap();
    let folder = bundle(&network);
    let states = "[run]\nmodes = [\"stateful\"]\n[[run.state]]\ninput = \"state\"\noutput = \"next\"\nshape = [100000, 100000]\n";
    let manifest = fs::read_to_string(folder.path().join("model.toml")).unwrap();
    fs::write(folder.path().join("model.toml"), manifest + states).unwrap();
    let (outcome, most, _) =
        measured(|| Model::load(Bundle::load(folder.path())?, Some(Mode::Stateful), 1));
    assert!(outcome.is_err() && most < 64 << 20, "{most}");
}

#[test]
fn a_configuration_that_is_no_configuration_is_not_read_to_its_end() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    let text = Config::load(&path).err().unwrap().to_string();
    assert!(text.contains("larger than 1 MiB"), "{text}");
    let (outcome, most, _) = measured(|| Config::load(Path::new("/dev/zero")).err());
    assert!(outcome.unwrap().to_string().contains("larger than 1 MiB"));
    assert!(most < 16 << 20, "{most}");
    // Nested without end.
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let deep = format!("a = {}{}", open.repeat(100_000), close.repeat(100_000));
        fs::write(&path, deep).unwrap();
        assert!(Config::load(&path).is_err());
    }
    fs::write(&path, format!("[{}]\n", "a.".repeat(100_000) + "a")).unwrap();
    assert!(Config::load(&path).is_err());
}

// Broken in every way.

/// How many inputs of each kind: few, or as many as the environment says.
fn rounds(few: u64) -> u64 {
    match std::env::var("KINEWATCH_FUZZ") {
        Ok(count) => count.parse().expect("KINEWATCH_FUZZ: expected a number"),
        Err(_) => few,
    }
}

struct Chance(ChaCha8Rng);

impl Chance {
    fn new(seed: u64) -> Self {
        Chance(ChaCha8Rng::seed_from_u64(seed))
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.0.next_u64() % limit.max(1) as u64) as usize
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// A number that somebody forgot about.
    fn number(&mut self) -> i64 {
        match self.below(4) {
            0 => self.of(&[0, 1, -1, 2, 3, 7, 255, 4096, 65_536]),
            1 => self.of(&[i64::MAX, i64::MIN, i64::MAX - 1, 1 << 31, 1 << 32, (1 << 31) - 1]),
            2 => 1i64 << self.below(63),
            _ => self.0.next_u64() as i64,
        }
    }

    /// Changes bytes as a bad disk, a bad line or somebody who tries would.
    fn bytes(&mut self, bytes: &mut Vec<u8>, pieces: &[&str]) {
        let a = self.below(bytes.len() + 1);
        let b = a + self.below((bytes.len() - a).min(64) + 1);
        match self.below(7) {
            0 => {
                bytes.drain(a..b);
            }
            1 => {
                let copy = bytes[a..b].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            2 => bytes.truncate(a),
            3 if !pieces.is_empty() => {
                let piece = self.of(pieces);
                bytes.splice(a..b, piece.bytes());
            }
            4 if !pieces.is_empty() => {
                let piece = self.of(pieces);
                bytes.splice(a..a, piece.bytes());
            }
            _ => {
                for _ in 0..=self.below(4) {
                    let at = self.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = match self.below(3) {
                            0 => *byte ^ (1 << self.below(8)),
                            1 => self.below(256) as u8,
                            _ => self.of(&[0, 0xff, 0x7f, 0x80]),
                        };
                    }
                }
            }
        }
    }

    /// Changes a network where it hurts, and keeps it one.
    fn graph(&mut self, graph: &mut GraphProto) {
        if graph.node.is_empty() {
            return;
        }
        let names: Vec<String> = graph
            .node
            .iter()
            .flat_map(|node| node.output.clone())
            .chain(graph.initializer.iter().map(|tensor| tensor.name.clone()))
            .chain(["clip".to_owned(), String::new(), "nobody".to_owned()])
            .collect();
        let kinds = [
            "Add",
            "Expand",
            "Tile",
            "Reshape",
            "Concat",
            "Conv",
            "ConvTranspose",
            "Pad",
            "Resize",
            "Range",
            "ConstantOfShape",
            "Gather",
            "Slice",
            "Transpose",
            "MatMul",
            "OneHot",
            "LSTM",
            "NonZero",
            "TopK",
            "Squeeze",
            "Unsqueeze",
            "Flatten",
            "Split",
            "MaxPool",
            "Cast",
            "If",
            "Scan",
            "Einsum",
            "GlobalAveragePool",
            "Softmax",
            "CumSum",
            "DepthToSpace",
            "Where",
        ];
        let at = self.below(graph.node.len());
        let number = self.number();
        match self.below(10) {
            0 => graph.node[at].op_type = self.of(&kinds).into(),
            1 => {
                let name = self.of(&names);
                let inputs = graph.node[at].input.len();
                let input = self.below(inputs);
                match graph.node[at].input.get_mut(input) {
                    Some(input) => *input = name,
                    None => graph.node[at].input.push(name),
                }
            }
            2 => {
                let count = graph.node[at].attribute.len();
                let which = self.below(count);
                if let Some(attribute) = graph.node[at].attribute.get_mut(which) {
                    attribute.i = number;
                    let slot = self.below(attribute.ints.len());
                    if let Some(one) = attribute.ints.get_mut(slot) {
                        *one = number;
                    }
                    if self.below(4) == 0 {
                        attribute.f = self.of(&[f32::NAN, f32::INFINITY, -1.0, 1e30]);
                        attribute.s = b"\xff".to_vec();
                    }
                }
            }
            3 => {
                let count = graph.node[at].attribute.len();
                if count > 0 {
                    let which = self.below(count);
                    graph.node[at].attribute.remove(which);
                }
            }
            4 | 5 => {
                let which = self.below(graph.initializer.len());
                let Some(tensor) = graph.initializer.get_mut(which) else { return };
                match self.below(4) {
                    0 => tensor.data_type = self.below(24) as i32,
                    1 => {
                        let axis = self.below(tensor.dims.len());
                        match tensor.dims.get_mut(axis) {
                            Some(axis) => *axis = number,
                            None => tensor.dims.push(number),
                        }
                    }
                    2 => {
                        // Numbers that may be a shape.
                        let fresh: Vec<u8> = (0..tensor.raw_data.len().div_ceil(8))
                            .flat_map(|_| self.number().to_le_bytes())
                            .take(tensor.raw_data.len())
                            .collect();
                        tensor.raw_data = fresh;
                    }
                    _ => {
                        let mut raw = tensor.raw_data.to_vec();
                        self.bytes(&mut raw, &[]);
                        tensor.raw_data = raw;
                    }
                }
            }
            6 => {
                let copy = self.of(&graph.node);
                let name = self.of(&names);
                graph.node.insert(at, NodeProto { output: vec![name], ..copy });
            }
            7 => {
                graph.node.remove(at);
            }
            8 => {
                let other = self.below(graph.node.len());
                graph.node.swap(at, other);
            }
            _ => {
                // Numbers in the file, made a shape for what is there.
                let shape: Vec<i64> = (0..self.below(6)).map(|_| self.number()).collect();
                let name = format!("shape {at}");
                graph.initializer.push(numbers(&name, &shape));
                let kind = self.of(&["Expand", "Tile", "Reshape", "ConstantOfShape", "Pad"]);
                let made = graph.node[at].output.first().cloned().unwrap_or_default();
                let inputs =
                    if kind == "ConstantOfShape" { vec![name] } else { vec![made.clone(), name] };
                let bent = format!("bent {made}");
                for node in &mut graph.node {
                    node.input.iter_mut().filter(|i| **i == made).for_each(|i| *i = bent.clone());
                }
                graph.node.push(NodeProto {
                    op_type: kind.into(),
                    input: inputs,
                    output: vec![bent],
                    ..Default::default()
                });
            }
        }
    }
}

/// Runs what must not take the process down; `what` says what it was.
#[track_caller]
fn survives<T>(what: &dyn Fn() -> String, f: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(f));
    assert!(began.elapsed() < HANGS, "it took {:?}: {}", began.elapsed(), what());
    outcome.unwrap_or_else(|_| panic!("it panicked: {}", what()))
}

const TOML_PIECES: [&str; 24] = [
    "= ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'''",
    "\n[[stream]]\n",
    "\n[input]\n",
    "999999999999999999999",
    "-1",
    "0",
    "nan",
    "inf",
    "1e308",
    "true",
    "\"../x\"",
    "\u{feff}",
    "\0",
    "é",
    "${HOME}",
    "${",
    "1979-05-27",
    "\"0 s\"",
];

/// The networks of the tests that are small, with how their manifests go on.
fn seeds() -> Vec<(Vec<u8>, String)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    let read = |name: &str| fs::read(golden.join(name)).unwrap();
    let (clip, small) = (MANIFEST.replace("[16, 16]", "[24, 32]"), MANIFEST.to_owned());
    let of_six = clip.replace("frames = 4", "frames = 6");
    let stateful = "[run]\nmodes = [\"stateful\"]\nwarm_up = 3\n";
    vec![
        (read("clip.onnx"), of_six.clone()),
        (read("open-batch.onnx"), of_six.clone()),
        (read("stream.onnx"), of_six.clone() + stateful),
        (read("named-states.onnx"), of_six.clone() + stateful),
        (read("open-states.onnx"), of_six + stateful),
        (network(vec![], vec![]).encode_to_vec(), small),
    ]
}

/// How many bundles of `count` could be loaded, and were run.
fn fuzz_bundles(count: u64, seed: u64) -> u64 {
    let mut chance = Chance::new(seed);
    let seeds = seeds();
    let folder = tempfile::tempdir().unwrap();
    let mut loaded = 0;
    for round in 0..count {
        let (mut network, mut manifest) = chance.of(&seeds);
        let mut labels = b"one\ntwo\nthree\nfour\nfive\n".to_vec();
        match chance.below(8) {
            0 => chance.bytes(&mut labels, &["\n", "one", "\r", "\u{feff}", "\0"]),
            1 => {
                let mut text = manifest.into_bytes();
                (0..=chance.below(3)).for_each(|_| chance.bytes(&mut text, &TOML_PIECES));
                manifest = String::from_utf8_lossy(&text).into_owned();
            }
            2 | 3 => (0..=chance.below(3)).for_each(|_| chance.bytes(&mut network, &[])),
            _ => {
                let mut model = ModelProto::decode(&*network).unwrap();
                let graph = model.graph.as_mut().unwrap();
                (0..=chance.below(3)).for_each(|_| chance.graph(graph));
                network = model.encode_to_vec();
            }
        }
        let manifest = format!("sha256 = \"{}\"\n{manifest}", sum(&network));
        fs::write(folder.path().join("model.onnx"), &network).unwrap();
        fs::write(folder.path().join("labels.txt"), &labels).unwrap();
        fs::write(folder.path().join("model.toml"), &manifest).unwrap();
        let what = || {
            let kept = std::env::temp_dir().join(format!("kinewatch-fuzz-{seed}-{round}.onnx"));
            fs::write(&kept, &network).unwrap();
            format!("round {round} of seed {seed}, kept as {}; {manifest}", kept.display())
        };
        let (outcome, most, _) = measured(|| survives(&what, || load(folder.path())));
        // Five: what may live at once, and the file's own copies.
        assert!(most < 5 << 30, "{most} bytes: {}", what());
        loaded += u64::from(outcome.is_ok());
    }
    loaded
}

#[test]
fn no_bundle_takes_the_process_down() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let count = rounds(400);
    let loaded = fuzz_bundles(count, 11);
    println!("bundles: {count}, of which {loaded} could be run");
    assert!(loaded > count / 20, "only {loaded} of {count} could be run");
}

#[test]
fn no_configuration_takes_the_process_down() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut seeds: Vec<PathBuf> = fs::read_dir(configs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    seeds.sort();
    let (mut chance, count, mut good) = (Chance::new(12), rounds(3_000), 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    for round in 0..count {
        let mut text = fs::read(chance.of(&seeds)).unwrap();
        if chance.below(4) == 0 {
            // The head of one with the tail of another.
            let other = fs::read(chance.of(&seeds)).unwrap();
            text.truncate(chance.below(text.len()));
            text.extend_from_slice(&other[chance.below(other.len())..]);
        }
        (0..=chance.below(4)).for_each(|_| chance.bytes(&mut text, &TOML_PIECES));
        fs::write(&path, &text).unwrap();
        let what = || format!("round {round}: {}", String::from_utf8_lossy(&text));
        match survives(&what, || Config::load(&path).err()) {
            None => good += 1,
            Some(error) => assert!(!error.to_string().is_empty()),
        }
    }
    println!("configurations: {count}, of which {good} were good");
    assert!(good > count / 100, "only {good} of {count} were good");
}

/// A state whose sum is right and whose content somebody made up.
#[test]
fn no_state_takes_the_process_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = StateFile::new(folder.path(), "gate", &"ab".repeat(32));
    let seed = serde_json::json!({"v": 1, "learned": {"temperature": 1.5, "weights": [1.0, 2.0]}});
    file.save(&seed).unwrap();
    let whole = fs::read(file.path()).unwrap();
    let (mut chance, count, mut read) = (Chance::new(13), rounds(2_000), 0);
    for round in 0..count {
        let mut bytes = whole.clone();
        if chance.below(2) == 0 {
            (0..=chance.below(3))
                .for_each(|_| chance.bytes(&mut bytes, &["{", "null", "\n", "1e999"]));
        } else {
            let newline = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            let mut body = bytes.split_off(newline + 1);
            (0..=chance.below(3))
                .for_each(|_| chance.bytes(&mut body, &["{", "[", "null", "1e999", "\""]));
            let header = serde_json::json!({"v": 1, "kind": "state", "model": "ab".repeat(32), "length": body.len(), "sha256": sum(&body)});
            bytes = format!("{header}\n").into_bytes();
            bytes.extend(body);
        }
        fs::write(file.path(), &bytes).unwrap();
        let what = || format!("round {round}: {}", String::from_utf8_lossy(&bytes));
        read += u64::from(survives(&what, || file.load::<serde_json::Value>()).is_some());
    }
    println!("states: {count}, of which {read} could be read");
    assert!(read > 0);
}
