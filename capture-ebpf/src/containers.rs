//! Which container a cgroup belongs to.
//!
//! In: paths of cgroups, as container engines and systemd name them. Out: the container's id, or the path that says most.
//! Never here: a file, or an engine that is asked.

/// The id of a container has so many characters.
const ID: usize = 64;

/// The id of the innermost container in the path of a cgroup: 64 hexadecimal digits that stand alone, or after the
/// engine's name and a dash, as Docker, containerd, CRI-O, Podman and their systemd scopes have it.
///
/// The process that watches over a container (`conmon`) is not in it.
pub(crate) fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(id_of)
}

fn id_of(part: &str) -> Option<&str> {
    // containerd without the systemd driver takes `slice:engine:id` for a name.
    let last = part.rsplit(':').next().unwrap_or(part);
    let name = last.strip_suffix(".scope").unwrap_or(last);
    let (engine, id) = name.split_at_checked(name.len().checked_sub(ID)?)?;
    let is_id = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_engine = engine.is_empty() || (engine.ends_with('-') && !engine.ends_with("conmon-"));
    (is_id && is_engine).then_some(id)
}

/// The path that says most of what `/proc/PID/cgroup` holds: in the unified hierarchy if that is used. Hosts with the
/// older hierarchies beside it may have their containers only there.
pub(crate) fn most_telling(lines: &str) -> Option<&str> {
    let paths = || {
        lines.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, names, path) = (parts.next()?, parts.next()?, parts.next()?);
            // What the kernel puts behind the path of a cgroup that was removed.
            Some((number, names, path.strip_suffix(" (deleted)").unwrap_or(path)))
        })
    };
    let unified = paths().find_map(|(number, _, path)| (number == "0").then_some(path));
    let named = |wanted| paths().find_map(|(_, names, path)| (names == wanted).then_some(path));
    let is_used = |path: &&str| *path != "/";
    unified
        .filter(|path| container_id(path).is_some())
        .or_else(|| paths().map(|(_, _, path)| path).find(|path| container_id(path).is_some()))
        .or_else(|| unified.filter(is_used))
        .or_else(|| named("name=systemd").filter(is_used))
        .or_else(|| paths().map(|(_, _, path)| path).find(is_used))
        .or(unified)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: &str = "8d5c5a8bd1a1c0e1a1d0a3e6d1f4cfb04be5f9c4f1f2c3b7a9e8d7c6b5a49382";
    const B: &str = "f00dfeed00000000000000000000000000000000000000000000000000000042";

    #[test]
    fn paths_of_real_engines() {
        let table = [
            ("docker, cgroupfs", "/docker/A", Some(A)),
            ("docker, systemd", "/system.slice/docker-A.scope", Some(A)),
            ("docker, a cgroup made inside", "/docker/A/init.scope", Some(A)),
            ("docker in docker", "/docker/B/docker/A", Some(A)),
            ("docker, its own parent", "/my.slice/docker-A.scope", Some(A)),
            (
                "docker, systemd of the user",
                "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-A.scope",
                Some(A),
            ),
            ("from inside another cgroup namespace", "/../../docker-A.scope", Some(A)),
            ("kubernetes, docker, cgroupfs", "/kubepods/besteffort/pod5bd5d2c7-3bd6-4f58-9a0b-a0f4a5e4b9d1/A", Some(A)),
            (
                "kubernetes, containerd, systemd",
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5bd5d2c7_3bd6_4f58_9a0b_a0f4a5e4b9d1.slice/cri-containerd-A.scope",
                Some(A),
            ),
            (
                "kubernetes, containerd, cgroupfs",
                "/kubepods/burstable/pod5bd5d2c7-3bd6-4f58-9a0b-a0f4a5e4b9d1/A",
                Some(A),
            ),
            (
                "kubernetes, containerd, mixed drivers",
                "/system.slice/containerd.service/kubepods-burstable-pod5bd5d2c7_3bd6_4f58.slice:cri-containerd:A",
                Some(A),
            ),
            ("kubernetes, cri-o, systemd", "/kubepods.slice/kubepods-pod5bd5d2c7_3bd6.slice/crio-A.scope", Some(A)),
            (
                "kubernetes, cri-o, a cgroup below",
                "/kubepods.slice/kubepods-pod5bd5d2c7_3bd6.slice/crio-A.scope/container",
                Some(A),
            ),
            ("kubernetes, cri-o, cgroupfs", "/kubepods/pod5bd5d2c7-3bd6/crio-A", Some(A)),
            ("cri-o, the watcher", "/kubepods.slice/kubepods-pod5bd5d2c7_3bd6.slice/crio-conmon-A.scope", None),
            (
                "kind: kubernetes in docker",
                "/docker/B/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod5bd5d2c7.slice/cri-containerd-A.scope",
                Some(A),
            ),
            ("podman", "/machine.slice/libpod-A.scope", Some(A)),
            ("podman, version 4", "/machine.slice/libpod-A.scope/container", Some(A)),
            (
                "podman of a user",
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-A.scope/container",
                Some(A),
            ),
            ("podman, cgroupfs", "/libpod_parent/libpod-A", Some(A)),
            ("podman in a service, split", "/system.slice/web.service/libpod-payload-A", Some(A)),
            ("podman, the watcher", "/machine.slice/libpod-conmon-A.scope", None),
            ("podman in docker, the watcher", "/docker/B/libpod_parent/libpod-conmon-A", Some(B)),
            ("podman, a pod", "/machine.slice/machine-libpod_pod_B.slice/libpod-A.scope/container", Some(A)),
            ("podman, the pod itself", "/machine.slice/machine-libpod_pod_B.slice", None),
            ("nerdctl", "/system.slice/nerdctl-A.scope", Some(A)),
            ("containerd, cgroupfs", "/default/A", Some(A)),
            ("amazon ecs", "/ecs/0123456789abcdef0123456789abcdef/A", Some(A)),
            ("no container", "/user.slice/user-1000.slice/session-2.scope", None),
            ("a service", "/system.slice/docker.service", None),
            ("a build", "/docker/buildkit/h5ihk4rld3x2y3jv6kq8e1g0o", None),
            ("systemd-nspawn", "/machine.slice/systemd-nspawn@web.service", None),
            ("lxc", "/lxc.payload.web/init.scope", None),
            ("the root", "/", None),
            ("nothing", "", None),
            ("too long by one", "/docker/0A", None),
            (
                "letters that are not ASCII",
                "/docker/ääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääää",
                None,
            ),
        ];
        for (what, path, expected) in table {
            let path = path.replace('A', A).replace('B', B);
            assert_eq!(container_id(&path), expected, "{what}: {path}");
        }
        assert_eq!(container_id(&format!("/docker/{}", A.to_uppercase())), None, "engines write small letters");
        assert_eq!(container_id(&format!("/docker/{}", &A[1..])), None, "too short by one");
    }

    #[test]
    fn the_line_that_says_most() {
        let table = [
            ("0::/system.slice/ssh.service\n", Some("/system.slice/ssh.service")),
            ("0::/\n", Some("/")),
            ("0::/gone (deleted)\n", Some("/gone")),
            ("12:pids:/docker/A\n1:name=systemd:/docker/A\n0::/\n", Some("/docker/A")),
            ("5:memory:/docker/A\n0::/system.slice/containerd.service\n", Some("/docker/A")),
            ("5:memory:/docker/B\n0::/docker/A\n", Some("/docker/A")),
            ("9:memory:/user.slice\n1:name=systemd:/user.slice/s.scope\n0::/\n", Some("/user.slice/s.scope")),
            ("9:name=systemd:/\n4:memory:/jobs/1\n3:cpu,cpuacct:/\n0::/\n", Some("/jobs/1")),
            ("4:memory:/with:colon\n", Some("/with:colon")),
            ("nonsense\n", None),
            ("", None),
        ];
        for (lines, expected) in table {
            let lines = lines.replace('A', A).replace('B', B);
            let expected = expected.map(|path| path.replace('A', A).replace('B', B));
            assert_eq!(most_telling(&lines), expected.as_deref(), "{lines}");
        }
    }
}
