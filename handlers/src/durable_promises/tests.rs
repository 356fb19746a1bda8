use millstream_pipeline::events::{Event, EventMeta, RequestFailed};
use millstream_schemas::durable_promises::{
    AwaitPromise, PeekPromise, RejectPromise, ResolvePromise,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn address(n: usize) -> ReturnAddress {
    let text = n.to_string();
    serde_json::from_value(json!({"t": "replies", "k": text, "c": text, "r": text})).unwrap()
}

/// Outputs of the `n`th command, which came at `n` milliseconds.
fn outputs(n: usize, expires_at: Option<i64>) -> Outputs {
    let meta = EventMeta {
        expires_at,
        ..EventMeta::default()
    };
    Outputs::new("promise1", meta, n.try_into().unwrap()).answering(address(n))
}

fn resolve(value: &str) -> DurablePromisesEvent {
    let value = value.to_owned();
    ResolvePromise { value }.into()
}

fn reject(message: &str) -> DurablePromisesEvent {
    let message = message.to_owned();
    RejectPromise { message }.into()
}

fn answers(outputs: &Outputs) -> Vec<(ReturnAddress, &str)> {
    outputs
        .answers()
        .map(|(to, name)| (to.clone(), name.unwrap()))
        .collect()
}

fn any_event() -> impl Strategy<Value = DurablePromisesEvent> {
    prop_oneof![
        3 => Just(PeekPromise {}.into()),
        5 => Just(AwaitPromise {}.into()),
        1 => ".{0,3}".prop_map(|value| resolve(&value)),
        1 => ".{0,3}".prop_map(|message| reject(&message)),
    ]
}

/// What a completion would make of a promise that is pending.
fn completed_by(event: &DurablePromisesEvent) -> Option<PromiseState> {
    let (status, value, message) = match event.clone() {
        DurablePromisesEvent::ResolvePromise(event) => (Status::Resolved, Some(event.value), None),
        DurablePromisesEvent::RejectPromise(event) => (Status::Rejected, None, Some(event.message)),
        _ => return None,
    };
    Some(PromiseState {
        status,
        value,
        message,
    })
}

proptest! {
    #[test]
    fn the_first_completion_wins_for_all(events in prop::collection::vec(any_event(), 0..40)) {
        let mut promise = Promise::default();
        let mut first = None;
        let mut waiting = Vec::new();
        for (n, event) in events.into_iter().enumerate() {
            let mut outputs = outputs(n, None);
            let is_await = matches!(event, DurablePromisesEvent::AwaitPromise(_));
            first = first.or_else(|| completed_by(&event));
            let answer = decide(&mut promise, event, &mut outputs).unwrap();
            match &first {
                None if is_await => {
                    waiting.push((address(n), PromiseState::FULL_NAME));
                    prop_assert_eq!(answer, None);
                }
                None => prop_assert_eq!(answer.unwrap().status, Status::Pending),
                Some(first) => {
                    prop_assert_eq!(answer.as_ref(), Some(first));
                    prop_assert_eq!(answers(&outputs), std::mem::take(&mut waiting));
                }
            }
            let json = serde_json::to_string(&promise).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Promise>(&json).unwrap(), &promise);
        }
        prop_assert_eq!(promise.awaiters.len(), waiting.len());
    }
}

#[test]
fn a_value_over_the_limit_is_refused() {
    let mut promise = Promise::default();
    let long = "x".repeat(MAX_VALUE_BYTES + 1);
    for event in [resolve(&long), reject(&long)] {
        let refused = decide(&mut promise, event, &mut outputs(0, None)).unwrap_err();
        assert_eq!(refused.code, failure::INVALID_REQUEST);
    }
    assert_eq!(promise, Promise::default());
    let state = decide(&mut promise, resolve(&long[1..]), &mut outputs(0, None));
    assert_eq!(state.unwrap().unwrap().status, Status::Resolved);
}

#[test]
fn awaits_are_bounded_in_number_and_size() {
    let mut promise = Promise::default();
    for n in 0..MAX_AWAITERS {
        let expires_at = (n < 2).then_some(2_000_000);
        let waits = decide(
            &mut promise,
            AwaitPromise {}.into(),
            &mut outputs(n, expires_at),
        );
        assert_eq!(waits, Ok(None));
    }
    assert!(serde_json::to_vec(&promise).unwrap().len() < 250 * MAX_AWAITERS);
    let mut full = outputs(2000, None);
    let refused = decide(&mut promise, AwaitPromise {}.into(), &mut full).unwrap_err();
    assert_eq!(refused.code, TOO_MANY_WAITING);
    assert!(refused.may_be_repeated);

    // Two of them do not wait any longer.
    let mut later = outputs(2001, None);
    assert_eq!(
        decide(&mut promise, AwaitPromise {}.into(), &mut later),
        Ok(None)
    );
    let dismissed = [address(0), address(1)].map(|to| (to, RequestFailed::FULL_NAME));
    assert_eq!(answers(&later), dismissed);
    let mut completion = outputs(2002, None);
    decide(&mut promise, resolve("done"), &mut completion).unwrap();
    assert_eq!(completion.answered(), MAX_AWAITERS - 1);

    let id = "x".repeat(MAX_ADDRESS_BYTES);
    let endless = json!({"t": "replies", "k": id, "c": "1", "r": "1"});
    let mut endless = outputs(0, None).answering(serde_json::from_value(endless).unwrap());
    let refused = decide(
        &mut Promise::default(),
        AwaitPromise {}.into(),
        &mut endless,
    );
    assert_eq!(refused.unwrap_err().code, failure::INVALID_REQUEST);
}
