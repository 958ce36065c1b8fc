//! Reads NumPy's .npy files (format version 1.0, C order), as written by the
//! scripts under tests/golden.
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::path::Path;

pub struct Npy {
    pub descr: String,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Npy {
    pub fn read(path: &Path) -> Npy {
        let file = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(&file[..8], b"\x93NUMPY\x01\x00", "{}", path.display());
        let header_len = usize::from(u16::from_le_bytes([file[8], file[9]]));
        let header = std::str::from_utf8(&file[10..10 + header_len]).unwrap();
        assert!(header.contains("'fortran_order': False"), "{header}");
        let after = |key: &str| header.split_once(key).unwrap().1;
        let descr = after("'descr': '").split('\'').next().unwrap().to_owned();
        let shape = after("'shape': (").split(')').next().unwrap();
        let shape = shape.split(',').map(str::trim).filter(|n| !n.is_empty());
        Npy {
            descr,
            shape: shape.map(|n| n.parse().unwrap()).collect(),
            bytes: file[10 + header_len..].to_vec(),
        }
    }

    pub fn f32(path: &Path) -> Vec<f32> {
        let npy = Npy::read(path);
        assert_eq!(npy.descr, "<f4", "{}", path.display());
        assert_eq!(npy.bytes.len(), 4 * npy.shape.iter().product::<usize>(), "{}", path.display());
        let words = npy.bytes.chunks_exact(4);
        words.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }
}
