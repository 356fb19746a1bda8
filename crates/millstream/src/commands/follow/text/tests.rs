use super::*;

#[test]
fn spans_are_as_exact_as_people_want() {
    for (millis, text) in [
        (-5, "0 ms"),
        (999, "999 ms"),
        (1_250, "1.2 s"),
        (61_000, "1 min 1 s"),
        (7_260_000, "2 h 1 min"),
        (259_200_000, "3 d 0 h"),
    ] {
        assert_eq!(span(millis), text);
    }
}

#[test]
fn an_event_cannot_write_on_the_terminal() {
    assert_eq!(clean("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\n\\u{202e}c");
    assert_eq!(clean("Zoë 日本"), "Zoë 日本");
}

#[test]
fn a_search_that_ended_early_says_that_nothing_is_unfinished_only_where_that_is_known() {
    let mut journey = Journey {
        state: State::Done,
        ..Journey::default()
    };
    assert!(!of_search(&journey).contains("--whole"));
    journey.searched.until = Some(0);
    assert!(of_search(&journey).contains("nothing is unfinished"));
    journey.problems.push("Restate does not answer".into());
    assert!(of_search(&journey).contains("not searched further"));
    journey.problems.clear();
    journey.state = State::Waiting;
    assert!(of_search(&journey).contains("not searched further"));
    journey.state = State::NotFound;
    assert!(!of_search(&journey).contains("--whole"));
}
