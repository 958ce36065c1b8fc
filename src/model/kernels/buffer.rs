//! Memory that vectors can be read from and written to at full speed.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

/// Values of a cache line, and of the widest vector.
const LINE: usize = 16;
/// Bytes of a large page of memory, where the kernel has such (2 MB on x86-64, and on
/// arm64 with pages of 4 KB).
const LARGE_PAGE: usize = 2 << 20;

/// Values at a multiple of 64 bytes: a cache line, and the widest vector.
pub struct Buffer {
    /// Where they lie in the arena, which this buffer alone uses.
    values: NonNull<f32>,
    len: usize,
    /// None for no values.
    _arena: Option<Arc<Arena>>,
}

// SAFETY: a buffer's values are its own, as a Vec's are; nothing in it is tied to a thread.
unsafe impl Send for Buffer {}
// SAFETY: shared, it hands out shared slices only.
unsafe impl Sync for Buffer {}

/// What buffers are made of.
#[repr(align(64))]
struct Line {
    _values: [f32; LINE],
}

/// Memory for several buffers, freed with the last of them.
struct Arena {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it only frees its memory, once, when it is dropped: any thread may do that.
unsafe impl Send for Arena {}
// SAFETY: nothing can be done through a shared one.
unsafe impl Sync for Arena {}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Buffer::many(&[len]).next().unwrap_or_default()
    }

    /// Zeros, a buffer for each of `lens`, next to each other in as few and as large pages
    /// as can be had: looking up where thousands of small ones lie takes time (X3D in mode
    /// `continual`: 4 to 8 %).
    pub fn many(lens: &[usize]) -> impl Iterator<Item = Buffer> {
        let lines: usize = lens.iter().map(|len| len.div_ceil(LINE)).sum();
        let arena = Arena::zeros(lines * size_of::<Line>()).map(Arc::new);
        let mut first = 0;
        lens.iter().map(move |&len| {
            let Some(arena) = arena.as_ref().filter(|_| len > 0) else { return Buffer::default() };
            // SAFETY: the arena has room for every buffer's lines, one after the other:
            // this one's begin after those of the buffers before it.
            let values = unsafe { arena.memory.cast::<f32>().add(first) };
            first += len.div_ceil(LINE) * LINE;
            Buffer { values, len, _arena: Some(arena.clone()) }
        })
    }
}

impl Arena {
    /// `bytes` zeros; none for 0.
    fn zeros(bytes: usize) -> Option<Arena> {
        if bytes == 0 {
            return None;
        }
        let align = if bytes >= LARGE_PAGE { LARGE_PAGE } else { align_of::<Line>() };
        // As the standard library's own collections: more than can be addressed is a bug,
        // more than there is ends the program.
        let Ok(layout) = Layout::from_size_align(bytes, align) else {
            panic!("{bytes} bytes are more than can be addressed")
        };
        // SAFETY: the layout is of 1 byte or more.
        let memory = unsafe { alloc(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        advise(memory, layout);
        // SAFETY: as many bytes as were just taken.
        unsafe { memory.write_bytes(0, bytes) };
        Some(Arena { memory, layout })
    }
}

/// Asks the kernel for large pages, before the memory is first written to.
#[cfg(target_os = "linux")]
fn advise(memory: NonNull<u8>, layout: Layout) {
    let whole = layout.size() / LARGE_PAGE * LARGE_PAGE;
    if layout.align() >= LARGE_PAGE {
        // SAFETY: the range lies in the memory that was just taken, and how large its
        // pages are changes nothing that is stored there. Kernels that have none refuse.
        unsafe { libc::madvise(memory.as_ptr().cast(), whole, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_memory: NonNull<u8>, _layout: Layout) {}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: taken with this layout, and no buffer is left that uses it.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

impl Default for Buffer {
    /// No values.
    fn default() -> Self {
        Buffer { values: NonNull::<Line>::dangling().cast(), len: 0, _arena: None }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut clone = Buffer::zeros(self.len);
        clone.copy_from_slice(self);
        clone
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.len)
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` values from there on are this buffer's, were zeroed when the
        // memory was taken, and live as long as the arena, which it holds; or there are none.
        unsafe { std::slice::from_raw_parts(self.values.as_ptr(), self.len) }
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above; no other buffer has these values, and the exclusive borrow of
        // this one is handed on.
        unsafe { std::slice::from_raw_parts_mut(self.values.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_one_arena_are_apart_aligned_and_outlive_each_other() {
        // More than a large page in all; the safe twin is a Vec for each.
        let lens = [5, 0, 16, 700_001, 33];
        let mut buffers: Vec<Buffer> = Buffer::many(&lens).collect();
        let mut twins: Vec<Vec<f32>> = lens.iter().map(|&len| vec![0.0; len]).collect();
        for round in 0..3 {
            for (at, (buffer, twin)) in buffers.iter_mut().zip(&mut twins).enumerate() {
                assert_eq!(buffer[..], twin[..], "buffer {at} in round {round}");
                assert_eq!(buffer.as_ptr().align_offset(64), 0);
                for (i, (value, other)) in buffer.iter_mut().zip(twin).enumerate() {
                    *value += (at * 1_000 + i + round) as f32;
                    *other = *value;
                }
            }
        }
        let kept = buffers.swap_remove(3);
        let copy = kept.clone();
        drop(buffers);
        assert_eq!((&kept[..], &copy[..]), (&twins[3][..], &twins[3][..]));
        assert!(Buffer::default().is_empty() && Buffer::zeros(0).is_empty());
    }
}
