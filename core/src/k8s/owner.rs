//! Which workload a pod belongs to.
//!
//! In: a pod and the other objects of its namespace. Out: the deployment, stateful set, daemon set or job that made it.
//! Never here: guesses from the pod's name.

use rustc_hash::FxHashMap;

use super::objects::{Labels, Name, Objects, Owner, Pod};

/// The label by which a deployment tells the pods of its replica sets apart; it ends the replica set's name.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Namespace, label, value.
type Label<'a> = (&'a str, &'a str, &'a str);

/// Finds workloads.
pub(super) struct Owners<'a> {
    objects: &'a Objects,
    /// Deployments by the one of their labels that the fewest of them ask for: a label that all have in common would make
    /// each pod look at every deployment.
    selecting: FxHashMap<Label<'a>, Vec<(&'a Name, &'a Labels)>>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(objects: &'a Objects) -> Self {
        let mut asked = FxHashMap::<Label<'_>, usize>::default();
        let labels = |(name, selector): (&'a Name, &'a Labels)| {
            selector.iter().map(|(label, value)| (&*name.namespace, &**label, &**value)).collect::<Vec<Label<'a>>>()
        };
        for label in objects.deployments.iter().flat_map(labels) {
            *asked.entry(label).or_default() += 1;
        }
        let mut selecting = FxHashMap::<Label<'_>, Vec<_>>::default();
        for deployment in &objects.deployments {
            // A selector that asks for nothing says nothing of a pod.
            let rarest = labels(deployment).into_iter().min_by_key(|label| asked.get(label));
            if let Some(label) = rarest {
                selecting.entry(label).or_default().push(deployment);
            }
        }
        Self { objects, selecting }
    }

    /// What made the pod, in the end: a replica set stands for the deployment that made it.
    pub(super) fn of(&self, name: &Name, pod: &Pod) -> Option<Owner> {
        match &pod.owner {
            Some(owner) if &*owner.kind == "ReplicaSet" => Some(self.of_replica_set(name, pod, owner)),
            // A static pod is owned by its node, which is no workload.
            Some(owner) if &*owner.kind == "Node" => None,
            Some(owner) => Some(owner.clone()),
            None => self.selecting(name, pod),
        }
    }

    fn of_replica_set(&self, name: &Name, pod: &Pod, owner: &Owner) -> Owner {
        let set = Name { namespace: name.namespace.clone(), name: owner.name.clone() };
        match self.objects.replica_sets.get(&set) {
            Some(Some(maker)) => return maker.clone(),
            Some(None) => return owner.clone(),
            None => {}
        }
        let hash = pod.labels.get(TEMPLATE_HASH);
        let deployment = hash.and_then(|hash| owner.name.strip_suffix(&**hash)?.strip_suffix('-'));
        match deployment {
            Some(deployment) => Owner { kind: "Deployment".into(), name: deployment.into() },
            None => self.selecting(name, pod).unwrap_or_else(|| owner.clone()),
        }
    }

    /// The first deployment of the namespace that selects the pod.
    fn selecting(&self, name: &Name, pod: &Pod) -> Option<Owner> {
        let candidates =
            pod.labels.iter().filter_map(|(label, value)| self.selecting.get(&(&*name.namespace, &**label, &**value)));
        let first = candidates
            .flatten()
            .filter(|(_, selector)| is_subset(selector, &pod.labels))
            .map(|(name, _)| name)
            .min()?;
        Some(Owner { kind: "Deployment".into(), name: first.name.clone() })
    }
}

/// Everything that the selector asks for is among the labels.
fn is_subset(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(label, value)| labels.get(label) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split_terminator(',').filter_map(|pair| pair.split_once(':')).map(|(k, v)| (k.into(), v.into())).collect()
    }

    fn name(text: &str) -> Name {
        let (namespace, name) = text.split_once('/').unwrap();
        Name { namespace: namespace.into(), name: name.into() }
    }

    fn owner(kind: &str, name: &str) -> Option<Owner> {
        Some(Owner { kind: kind.into(), name: name.into() })
    }

    #[test]
    fn selectors_and_labels() {
        let table = [
            ("a:b", "a:b", true),
            ("", "", true),
            ("c:x", "c:x,s:x", true),
            ("", "a:b", true),
            ("a:b", "a:x", false),
            ("a:b", "c:x", false),
            ("a:b,s:x", "c:x", false),
            ("a:b,s:x", "c:x,v:x", false),
        ];
        for (selector, text, expected) in table {
            assert_eq!(is_subset(&labels(selector), &labels(text)), expected, "{{{selector}}} in {{{text}}}");
        }
    }

    #[test]
    fn workloads() {
        let mut objects = Objects::default();
        objects.replica_sets.insert(name("a/web-1"), owner("Deployment", "web"));
        objects.replica_sets.insert(name("a/bare-77"), None);
        objects.replica_sets.insert(name("a/canary-2"), owner("Rollout", "canary"));
        objects.deployments.insert(name("a/all"), labels(""));
        objects.deployments.insert(name("a/one"), labels("app:x"));
        objects.deployments.insert(name("a/two"), labels("app:x,tier:db"));
        objects.deployments.insert(name("a/also-two"), labels("tier:db"));
        let table = [
            ("by references", owner("ReplicaSet", "web-1"), "", owner("Deployment", "web")),
            ("in another namespace the set is unknown", None, "", None),
            (
                "a set that nothing made",
                owner("ReplicaSet", "bare-77"),
                "pod-template-hash:77",
                owner("ReplicaSet", "bare-77"),
            ),
            ("another kind of deployment", owner("ReplicaSet", "canary-2"), "", owner("Rollout", "canary")),
            ("by the hash", owner("ReplicaSet", "api-v2-5b9"), "pod-template-hash:5b9", owner("Deployment", "api-v2")),
            (
                "the hash ends another name",
                owner("ReplicaSet", "api5b9"),
                "pod-template-hash:5b9",
                owner("ReplicaSet", "api5b9"),
            ),
            ("by the selector, an unknown set", owner("ReplicaSet", "gone"), "app:x", owner("Deployment", "one")),
            ("by the selector", None, "app:x,zone:1", owner("Deployment", "one")),
            ("the first of several", None, "app:x,tier:db", owner("Deployment", "also-two")),
            ("an empty selector selects nothing", None, "app:y", None),
            ("a daemon set", owner("DaemonSet", "agent"), "app:x", owner("DaemonSet", "agent")),
            ("a stateful set", owner("StatefulSet", "db"), "", owner("StatefulSet", "db")),
            ("a job", owner("Job", "backup"), "", owner("Job", "backup")),
            ("a static pod", owner("Node", "n1"), "app:x", None),
        ];
        let owners = Owners::new(&objects);
        for (what, owner, text, expected) in table {
            let pod = Pod { owner, labels: labels(text), ..Pod::default() };
            assert_eq!(owners.of(&name("a/pod"), &pod), expected, "{what}");
        }
        let pod = Pod { labels: labels("app:x"), ..Pod::default() };
        assert_eq!(owners.of(&name("b/pod"), &pod), None, "deployments select in their own namespace");
    }
}
