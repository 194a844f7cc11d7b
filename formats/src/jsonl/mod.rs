//! Events as JSON Lines: for people, fixtures and other tools.
//!
//! In: a header and events, or text. Out: one object a line, or the header and events. Never here: paths, tables of
//! reports (see [`report`](crate::report)).
