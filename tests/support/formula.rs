//! Weights and frames from counters: what tests/golden/continual/formula.py computes,
//! bit for bit, so that no large file is kept.

/// Pixels of a frame that share a value, along each side.
const CELL: usize = 8;

/// FNV-1a of a name.
fn seed(name: &str) -> u32 {
    name.bytes()
        .fold(0x811c_9dc5, |value, byte| (value ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The value of a name at a place, in [-1, 1): a hash (MurmurHash3's last steps), 24
/// bits of it, exact in f32.
fn uniform(seed: u32, place: u32) -> f32 {
    let mut x = place.wrapping_mul(0x9e37_79b9).wrapping_add(seed);
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^= x >> 16;
    ((x >> 8) as i32 - (1 << 23)) as f32 / (1 << 23) as f32
}

/// `count` values in [offset - scale, offset + scale).
pub fn weights(name: &str, count: usize, scale: f32, offset: f32) -> impl Iterator<Item = f32> {
    let seed = seed(name);
    (0..count).map(move |place| uniform(seed, place as u32) * scale + offset)
}

/// The stream's `t`-th frame, 3 × height × width: coarse noise whose strength and mean
/// change from frame to frame.
pub fn frame(t: usize, [height, width]: [usize; 2]) -> Vec<f32> {
    let (rows, columns) = (height.div_ceil(CELL), width.div_ceil(CELL));
    let (cells, light) = (seed("cells"), seed("light"));
    let strength = uniform(seed("strength"), t as u32) * 0.75 + 1.0;
    let mut values = Vec::with_capacity(3 * height * width);
    for c in 0..3 {
        let light = uniform(light, (t * 3 + c) as u32);
        for y in 0..height {
            for x in 0..width {
                let place = ((t * 3 + c) * rows + y / CELL) * columns + x / CELL;
                values.push(uniform(cells, place as u32) * strength + light);
            }
        }
    }
    values
}
