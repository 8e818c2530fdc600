//! Several waits at once, in a runtime inside the guest: what can't go on says which pollable it waits for, and when
//! nothing can, one call of `wasi:io/poll` waits for the first of them.
use std::cell::RefCell;
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::rc::Rc;
use std::task::Poll;

use crate::wasi::clocks::monotonic_clock;
use crate::wasi::io::poll::{poll, Pollable};

thread_local! {
    static WAITED_FOR: RefCell<Vec<Rc<Pollable>>> = const { RefCell::new(Vec::new()) };
}

/// Over after so many nanoseconds, counted from now: not from when it is first awaited.
pub fn after(ns: u64) -> impl Future<Output = ()> {
    let pollable = Rc::new(monotonic_clock::subscribe_duration(ns));
    poll_fn(move |_| {
        if pollable.ready() {
            return Poll::Ready(());
        }
        WAITED_FOR.with_borrow_mut(|all| all.push(pollable.clone()));
        Poll::Pending
    })
}

/// Over when all of them are.
pub async fn all<F: Future<Output = ()>>(waits: impl Iterator<Item = F>) {
    let mut left: Vec<Pin<Box<F>>> = waits.map(Box::pin).collect();
    poll_fn(|context| {
        left.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if left.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}

/// Runs what waits for pollables only; waits for the first of them whenever nothing in it can go on.
pub async fn run<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| loop {
        if let Poll::Ready(value) = work.as_mut().poll(context) {
            return Poll::Ready(value);
        }
        let waited_for = WAITED_FOR.take();
        poll(&waited_for.iter().map(Rc::as_ref).collect::<Vec<_>>());
    })
    .await
}
