//! In steady state the path from a sampled frame to a clip tensor allocates
//! nothing. Alone in its file: the counting allocator serves the whole process.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;

use kinewatch::clip::{InputSpec, Layout, Preprocess, Resize, Ring};
use kinewatch::video::{Colour, Frame, Orientation};

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness has another, which allocates when it likes.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, memory: Memory) {
        unsafe { System.dealloc(pointer, memory) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(pointer, memory, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations_of(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    f();
    ALLOCATIONS.get() - before
}

#[test]
fn steady_state_allocates_nothing() {
    assert!(allocations_of(|| drop(std::hint::black_box(vec![1u8]))) > 0, "the counter counts");
    for resize in [Resize::ShortSide, Resize::Stretch, Resize::Letterbox] {
        for antialias in [false, true] {
            for layout in [Layout::NCTHW, Layout::NTCHW, Layout::NTHWC] {
                for quarters in 0..4 {
                    let count = steady(resize, antialias, layout, quarters);
                    assert_eq!(count, 0, "{resize:?} {antialias} {layout:?} {quarters}");
                }
            }
        }
    }
}

fn steady(resize: Resize, antialias: bool, layout: Layout, quarters: u8) -> usize {
    let spec = InputSpec {
        layout,
        frames: 4,
        rate: 5.0,
        size: [24, 32],
        resize,
        antialias,
        colour: Colour::Rgb,
        mean: vec![0.45; 3],
        std: vec![0.225; 3],
    };
    let (width, height) = (64, 48);
    let mut frame = Frame {
        data: vec![7; width * height * 3],
        width,
        height,
        orientation: Orientation { quarters, flip: false },
        ..Frame::new(Colour::Rgb)
    };
    let mut preprocess = Preprocess::new(&spec).unwrap();
    let mut ring = Ring::new(&spec).unwrap();
    let mut tensor = vec![0.0; spec.frame_len()];
    let mut clip = vec![0.0; spec.frame_len() * spec.frames];
    // The first clip of a stream makes the tables and fills the ring.
    let mut push = |frame: &Frame, clip: &mut [f32]| {
        preprocess.run(frame, &mut tensor).unwrap();
        ring.push(&tensor).unwrap();
        if ring.is_full() {
            ring.write_clip(layout, clip).unwrap();
        }
    };
    for _ in 0..spec.frames {
        push(&frame, &mut clip);
    }
    allocations_of(|| {
        for value in 0..20 {
            frame.data.fill(value);
            push(&frame, &mut clip);
        }
    })
}
