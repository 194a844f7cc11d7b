//! The maps that programs and loader share, and the few ways in which programs use them.

use core::ffi::c_void;
use core::intrinsics::{
    AtomicOrdering::{Relaxed, SeqCst},
    atomic_and, atomic_or, atomic_xadd,
};

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{
    BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_SK_STORAGE_GET_F_CREATE,
};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, RingBuf};
use aya_ebpf::helpers::generated::{bpf_ringbuf_output, bpf_sk_storage_get};
use aya_ebpf::macros::btf_map;
use netflow_capture_abi::{
    CONTROL_LAST_ID, CONTROL_LEN, CONTROL_STOPPED, FlowKey, FlowRecord, Holders, ListenRecord, ProcessRecord,
    SETTINGS_LEN, TOLD, TcpRecord, UdpSocket, count,
};

use crate::twice::TRACEPOINTS;

/// Socket-local storage with flags of our choice (aya's own type fixes them, and has no access outside of one kind of
/// program). The fields are what the loader reads from BTF; they have no value at run time.
#[repr(C)]
pub struct SocketStorage<T, const FLAGS: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the fields are null pointers that nobody reads.
unsafe impl<T, const FLAGS: usize> Sync for SocketStorage<T, FLAGS> {}

impl<T, const FLAGS: usize> SocketStorage<T, FLAGS> {
    const fn new() -> Self {
        use core::ptr::null;
        Self { r#type: null(), key: null(), value: null(), max_entries: null(), map_flags: null() }
    }

    fn call(&self, socket: *const c_void, initial: *const T, flags: u64) -> Option<*mut T> {
        // SAFETY: the verifier checks both pointers.
        let value = unsafe {
            bpf_sk_storage_get(
                core::ptr::from_ref(self).cast_mut().cast(),
                socket.cast_mut(),
                initial.cast_mut().cast(),
                flags,
            )
        };
        if value.is_null() { None } else { Some(value.cast()) }
    }

    /// The socket's value, if it has one.
    #[inline(always)]
    pub fn get(&self, socket: *const c_void) -> Option<*mut T> {
        self.call(socket, core::ptr::null(), 0)
    }

    /// The socket's value, of zeros when it had none.
    #[inline(always)]
    pub fn get_or_create(&self, socket: *const c_void) -> Option<*mut T> {
        let value = self.call(socket, core::ptr::null(), BPF_SK_STORAGE_GET_F_CREATE.into());
        if value.is_none() {
            add(count::STORAGE_FAILED);
        }
        value
    }

    /// The socket's value, a copy of `initial` when it had none.
    #[inline(always)]
    pub fn get_or_insert(&self, socket: *const c_void, initial: &T) -> Option<*mut T> {
        let value = self.call(socket, initial, BPF_SK_STORAGE_GET_F_CREATE.into());
        if value.is_none() {
            add(count::STORAGE_FAILED);
        }
        value
    }
}

/// A child socket gets a copy of its listener's value (`BPF_F_CLONE`): that is how it learns its owner.
#[btf_map]
pub static TCP_SOCKETS: SocketStorage<TcpRecord, { (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize }> = SocketStorage::new();

#[btf_map]
pub static UDP_SOCKETS: SocketStorage<UdpSocket, { BPF_F_NO_PREALLOC as usize }> = SocketStorage::new();

/// Made by walks over all descriptors alone.
#[btf_map]
pub static HOLDERS: SocketStorage<Holders, { BPF_F_NO_PREALLOC as usize }> = SocketStorage::new();

/// Not an LRU table: that one evicts without saying so. The loader sets the size.
#[btf_map]
pub static FLOWS: HashMap<FlowKey, FlowRecord, 65536, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// The loader sets the size.
#[btf_map]
pub static RING: RingBuf<u8, 4096> = RingBuf::new();

/// Processes that own sockets, by process id. A row that finds the table full is not made.
#[btf_map]
pub static PROCESSES: HashMap<u32, ProcessRecord, 65536, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Listening sockets, by cookie. A row that finds the table full is not made.
#[btf_map]
pub static LISTENERS: HashMap<u64, ListenRecord, 16384, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// What is told of processes and listening sockets: a ring of its own, so that it takes no room from connections. The
/// loader sets the size.
#[btf_map]
pub static NEWS: RingBuf<u8, 4096> = RingBuf::new();

/// Answers of the name service, apart from everything else: they may never cost a record its room. The loader sets the size.
#[btf_map]
pub static ANSWERS: RingBuf<u8, 4096> = RingBuf::new();

#[btf_map]
pub static COUNTS: PerCpuArray<u64, { count::LEN }> = PerCpuArray::new();

/// What the first of two programs leaves for the second, see `twice.rs`.
#[btf_map]
pub static SEEN: PerCpuArray<u64, TRACEPOINTS> = PerCpuArray::new();

#[btf_map]
pub static CONTROL: Array<u64, { CONTROL_LEN as usize }> = Array::new();

// Where the value before is wanted, the ordering must be SeqCst: for Relaxed, LLVM picks an instruction that does not
// fetch it.

/// A new id; never 0 unless the control map cannot be read.
#[inline(always)]
pub fn next_id() -> u64 {
    match CONTROL.get_ptr_mut(CONTROL_LAST_ID) {
        // SAFETY: the element is an aligned u64 that lives as long as the map.
        Some(last) => unsafe { atomic_xadd::<u64, u64, { SeqCst }>(last, 1) + 1 },
        None => 0,
    }
}

/// The recording was stopped: what happens now belongs to nobody.
#[inline(always)]
pub fn stopped() -> bool {
    match CONTROL.get_ptr(CONTROL_STOPPED) {
        // SAFETY: as above.
        Some(word) => unsafe { word.read_volatile() != 0 },
        None => true,
    }
}

/// This processor's word for a tracepoint.
#[inline(always)]
pub fn seen_word(tracepoint: u32) -> Option<*mut u64> {
    SEEN.get_ptr_mut(tracepoint)
}

/// Counts one.
#[inline(always)]
pub fn add(which: u32) {
    if let Some(cell) = COUNTS.get_ptr_mut(which) {
        // Atomic although it is this processor's own: a softirq may come in between.
        increase(cell, 1);
    }
}

/// Adds to a counter that several processors may add to.
#[inline(always)]
pub fn increase(cell: *mut u64, by: u64) {
    // SAFETY: an aligned field of a map value.
    unsafe { atomic_xadd::<u64, u64, { Relaxed }>(cell, by) };
}

/// Sets flags and gives those that were set before.
#[inline(always)]
pub fn set_flags(flags: *mut u32, bits: u32) -> u32 {
    // SAFETY: flags are aligned and lie in a map value.
    unsafe { atomic_or::<u32, u32, { SeqCst }>(flags, bits) }
}

/// Clears flags and gives those that were set before.
#[inline(always)]
pub fn clear_flags(flags: *mut u32, bits: u32) -> u32 {
    // SAFETY: as above.
    unsafe { atomic_and::<u32, u32, { SeqCst }>(flags, !bits) }
}

/// Copies the first `size` bytes of `record` into the ring; false when there is no room. The reader looks by the
/// clock: waking it would cost several times what the record costs.
#[inline(always)]
pub fn send<T>(record: *const T, size: usize) -> bool {
    // SAFETY: the verifier checks pointer and size.
    unsafe {
        bpf_ringbuf_output(
            core::ptr::from_ref(&RING).cast_mut().cast(),
            record.cast_mut().cast(),
            size as u64,
            BPF_RB_NO_WAKEUP.into(),
        ) == 0
    }
}

/// Copies a row into the ring of news, and marks it as told; without room, user space finds it in its table. `flags` is
/// the row's own word.
#[inline(always)]
pub fn tell<T>(row: *const T, flags: *mut u32, wake: bool) {
    let wakeup = if wake { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    // Before it is copied: what changes from now on is told again.
    set_flags(flags, TOLD);
    // SAFETY: the verifier checks pointer and size.
    let result = unsafe {
        bpf_ringbuf_output(
            core::ptr::from_ref(&NEWS).cast_mut().cast(),
            row.cast_mut().cast(),
            size_of::<T>() as u64,
            wakeup.into(),
        )
    };
    if result != 0 {
        clear_flags(flags, TOLD);
        add(count::NEWS_FULL);
    }
}

/// Written by the loader.
#[unsafe(no_mangle)]
static SETTINGS: [u32; SETTINGS_LEN] = [0; SETTINGS_LEN];

/// A setting, one of the `SETTING_` constants.
#[inline(always)]
pub fn setting(which: usize) -> u32 {
    // Volatile, or the compiler would use the zeros above.
    // SAFETY: `which` is an index into the array.
    unsafe { (&raw const SETTINGS).cast::<u32>().add(which).read_volatile() }
}
