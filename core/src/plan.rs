//! What a report needs to know of a connection to find its group.
//!
//! In: what is asked. Out: for each tag and each test of the filter, on which part of a connection it depends. Never here:
//! connections.

use crate::batch::Profile;
use crate::column::Tag;
use crate::field::Field;
use crate::filter::Question;
use crate::pipeline::ReportOptions;

/// What a value depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Nothing else than the profile; where values are kept by the profile, at this place.
    Profile(usize),
    RemoteIp,
    RemoteType,
    /// The port of the local end, or of the remote one.
    LocalPort,
    RemotePort,
    Family,
    /// The connection itself, and when it began.
    Connection,
    Began,
}

/// What a test of the filter is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Its place among the tests.
    pub(crate) place: usize,
    pub(crate) part: Part,
}

/// How the group of a connection is found.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) tags: Vec<(Tag, Part)>,
    /// The fields by which the filter asks about the profile.
    pub(crate) asked: Vec<&'static Field>,
    pub(crate) filter: Option<Question<Asked>>,
    /// All tags depend on the profile alone.
    pub(crate) is_by_profile: bool,
    pub(crate) needs_family: bool,
    needs_process: bool,
    needs_direction: bool,
    /// What only other events tell.
    needs_others: bool,
}

impl Part {
    pub(crate) fn of(field: &Field, profile: usize) -> Option<Self> {
        Some(match field.name {
            "dst_ip" => Self::RemoteIp,
            "dst_ip_type" => Self::RemoteType,
            "src_port" => Self::LocalPort,
            "dst_port" => Self::RemotePort,
            "family" => Self::Family,
            "connection" => Self::Connection,
            "began" => Self::Began,
            // Of what other events tell there is nothing, or the connection is not looked at here.
            "host" | "src_ip" | "src_ip_type" | "transport" | "direction" | "pid" | "process_name" | "netns"
            | "shared" | "container_id" | "dst_nat_ip" | "dst_nat_port" | "dst_domain" | "sub_source" => {
                Self::Profile(profile)
            }
            name if name.starts_with("src_k8s_") || name.starts_with("dst_k8s_") => Self::Profile(profile),
            _ => return None,
        })
    }
}

impl Plan {
    /// How to find the groups that are asked for; `None` when that takes each connection by itself.
    pub(crate) fn new(options: &ReportOptions) -> Option<Self> {
        if !options.distinct.is_empty() {
            return None;
        }
        let tags = options.tags();
        let mut fields: Vec<(&'static Field, bool)> = tags.iter().map(|tag| (tag.field(), false)).collect();
        let tags = tags.into_iter().map(|tag| Some((tag, Part::of(tag.field(), 0)?))).collect::<Option<_>>()?;
        let mut asked = Vec::new();
        let mut is_possible = true;
        let filter = options.only.as_ref().map(|only| {
            let fields_of: std::cell::RefCell<Vec<&'static Field>> = std::cell::RefCell::default();
            let question = only.question(&|field| {
                let mut fields = fields_of.borrow_mut();
                fields.push(field);
                let place = fields.len() - 1;
                Some(Asked { place, part: Part::of(field, place)? })
            });
            asked = fields_of.into_inner();
            question
        });
        let filter = match filter {
            Some(question) => match question.complete() {
                Some(question) => Some(question),
                None => {
                    is_possible = false;
                    None
                }
            },
            None => None,
        };
        fields.extend(asked.iter().map(|field| (*field, true)));
        let needs = |needed: &dyn Fn(&str, bool) -> bool| fields.iter().any(|(field, real)| needed(field.name, *real));
        let folds = !options.ports.no_fold;
        let tags: Vec<(Tag, Part)> = tags;
        is_possible.then(|| Self {
            is_by_profile: tags.iter().all(|(_, part)| matches!(part, Part::Profile(_))),
            needs_family: needs(&|name, _| name == "family"),
            needs_process: needs(&|name, _| name == "process_name"),
            needs_direction: needs(&|name, real| {
                name == "direction" || (folds && !real && matches!(name, "src_port" | "dst_port"))
            }),
            needs_others: needs(&|name, _| {
                matches!(name, "container_id" | "dst_nat_ip" | "dst_nat_port" | "dst_domain" | "sub_source")
                    || name.contains("_k8s_")
            }),
            tags,
            asked,
            filter,
        })
    }

    /// All that is asked is told by the profile, as long as nothing is known beside the connections. Who began is guessed
    /// by ports otherwise, which connections of a profile do not share.
    pub(crate) fn is_possible(&self, profile: &Profile) -> bool {
        !profile.preexisting && (!self.needs_direction || profile.direction.is_some())
    }

    /// The same whatever else is known.
    pub(crate) fn is_told_by(&self, profile: &Profile) -> bool {
        !self.needs_others && (!self.needs_process || profile.name.is_some())
    }
}
