//! An ONNX file's bytes, skimmed before they are decoded: two bytes of a file can
//! stand for hundreds in memory, so that a small file could fill it.

/// The most nodes, attributes and tensors of a file, all graphs together. The largest
/// published video networks have a tenth of it; what reads them takes time with the
/// square of the nodes.
pub(super) const MOST_NODES: usize = 20_000;
const MOST_TENSORS: usize = 20_000;
const MOST_ATTRIBUTES: usize = 200_000;
/// The most bytes that are not weights: names, shapes, attributes, comments.
pub(super) const MOST_STRUCTURE: usize = 32 << 20;
/// Graphs in graphs.
const DEEPEST: usize = 16;

/// The messages of the format (onnx.proto) that are looked into.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

impl Kind {
    /// The message in field `number`, where that is one to look into.
    fn inner(self, number: u64) -> Option<Kind> {
        match (self, number) {
            (Kind::Model, 7) | (Kind::Attribute, 6 | 11) => Some(Kind::Graph),
            (Kind::Graph, 1) => Some(Kind::Node),
            (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) => Some(Kind::Tensor),
            (Kind::Node, 5) => Some(Kind::Attribute),
            _ => None,
        }
    }

    /// Whether field `number` holds values that take as much memory as in the file.
    fn holds_values(self, number: u64) -> bool {
        // float_data, raw_data, double_data
        self == Kind::Tensor && matches!(number, 4 | 9 | 10)
    }
}

#[derive(Default)]
struct Seen {
    nodes: usize,
    tensors: usize,
    attributes: usize,
    structure: usize,
}

/// Whether decoding `bytes` takes memory in proportion to them. Bytes that are no such
/// file pass: whoever decodes them stops where this does.
///
/// # Errors
/// What there is too much of, and the limit.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    skim(bytes, Kind::Model, 0, &mut Seen::default())
}

fn skim(mut bytes: &[u8], kind: Kind, depth: usize, seen: &mut Seen) -> Result<(), String> {
    let too_many = |what: &str, most: usize| Err(format!("it holds more than {most} {what}"));
    let (count, most, what) = match kind {
        Kind::Node => (&mut seen.nodes, MOST_NODES, "nodes"),
        Kind::Tensor => (&mut seen.tensors, MOST_TENSORS, "tensors"),
        Kind::Attribute => (&mut seen.attributes, MOST_ATTRIBUTES, "attributes"),
        Kind::Graph if depth > DEEPEST => {
            return Err(format!("its graphs lie more than {DEEPEST} deep in each other"));
        }
        Kind::Graph | Kind::Model => (&mut 0, 1, ""),
    };
    *count += 1;
    if *count > most {
        return too_many(what, most);
    }
    while let Some(tag) = varint(&mut bytes) {
        let (number, wire) = (tag >> 3, tag & 7);
        let fixed = match wire {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            5 => Some(4),
            2 => varint(&mut bytes).and_then(|length| usize::try_from(length).ok()),
            _ => None,
        };
        let Some((field, rest)) = fixed.and_then(|length| bytes.split_at_checked(length)) else {
            return Ok(());
        };
        bytes = rest;
        seen.structure += 2;
        match kind.inner(number) {
            Some(inner) if wire == 2 => {
                skim(field, inner, depth + usize::from(inner == Kind::Graph), seen)?;
            }
            _ if wire == 2 && kind.holds_values(number) => {}
            _ => seen.structure += field.len(),
        }
        if seen.structure > MOST_STRUCTURE {
            return Err(format!(
                "it holds more than {} MiB besides its weights",
                MOST_STRUCTURE >> 20
            ));
        }
    }
    Ok(())
}

/// A number in seven bits a byte; none where it is cut off or too long.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (at, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(at).ok()?)?;
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn a_small_file_of_very_many_things_is_refused_before_it_is_decoded() {
        let nodes = field(7, &field(1, b"").repeat(MOST_NODES));
        check(&nodes).unwrap();
        let more = field(7, &field(1, b"").repeat(MOST_NODES + 1));
        assert!(check(&more).unwrap_err().contains("20000 nodes"));
        let tensors = field(7, &field(5, b"").repeat(MOST_TENSORS + 1));
        assert!(check(&tensors).unwrap_err().contains("tensors"));
        let attributes = field(7, &field(1, &field(5, b"").repeat(MOST_ATTRIBUTES + 1)));
        assert!(check(&attributes).unwrap_err().contains("attributes"));
        // Two graphs of half as many are one to whoever decodes them.
        let halves = field(7, &field(1, b"").repeat(MOST_NODES / 2 + 1)).repeat(2);
        assert!(check(&halves).is_err());
    }

    #[test]
    fn weights_may_be_large_and_nothing_else() {
        let large = vec![0; MOST_STRUCTURE + 1];
        check(&field(7, &field(5, &field(9, &large)))).unwrap();
        let comment = check(&field(7, &field(10, &large))).unwrap_err();
        assert!(comment.contains("32 MiB besides"), "{comment}");
    }

    #[test]
    fn graphs_in_graphs_end() {
        let mut graph = Vec::new();
        for _ in 0..DEEPEST {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        assert!(check(&field(7, &graph)).unwrap_err().contains("deep"));
    }

    #[test]
    fn what_is_no_such_file_is_left_to_the_decoder() {
        for bytes in [&b""[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x3a\x7f", b"{}"]
        {
            check(bytes).unwrap();
        }
    }
}
