//! The files to deploy by hold what they say against the binary and against one another: settings,
//! ports, paths, users, times. They are parsed, not run: that needs a cluster, or a builder of images.

use crate::program::{ducat, place, stdout, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The documents of a file of several.
fn documents(file: &str) -> Vec<Value> {
    let text = read(file);
    let parts = text.split("\n---\n");
    parts.map(|part| serde_saphyr::from_str(part).expect("YAML")).collect()
}

fn of_kind<'d>(all: &'d [Value], kind: &str) -> &'d Value {
    let mut found = all.iter().filter(|document| document["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("a {kind}"));
    assert!(found.next().is_none(), "one {kind}");
    one
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    list.iter().map(|item| item.as_str().expect("a text")).collect()
}

/// The instruction's words in the file that makes the image.
fn instruction<'f>(containerfile: &'f str, name: &str) -> Vec<&'f str> {
    let mut lines = containerfile.lines().filter_map(|line| line.strip_prefix(name));
    lines.next_back().unwrap_or_else(|| panic!("no {name}")).split_whitespace().collect()
}

#[test]
fn the_image_runs_what_there_is_as_nobody() {
    let file = read("deploy/container/Containerfile");
    assert_eq!(instruction(&file, "USER "), ["65532:65532"]);
    assert_eq!(instruction(&file, "EXPOSE "), ["4600", "9464"]);
    assert_eq!(instruction(&file, "STOPSIGNAL "), ["SIGTERM"]);
    let data = instruction(&file, "VOLUME ")[0];
    assert!(file.contains(&format!("ENV DUCAT_DATA_DIR={data}/ledger\n")));
    assert!(file.contains("--package ducat-api --bin ducat "));
    let manifest = read("api/Cargo.toml");
    assert!(manifest.contains("name = \"ducat-api\"") && root().join("api/src/bin/ducat").is_dir());
    // What is left out of the context is not what is built.
    for left_out in read(".dockerignore").lines().filter(|line| !line.starts_with('#')) {
        assert!(!["api", "engine", "Cargo.lock", "Cargo.toml"].contains(&left_out), "{left_out}");
    }
}

#[test]
fn composed_services_find_one_another() {
    let compose = yaml("deploy/compose/compose.yaml");
    let services = &compose["services"];
    let server = &services["ducat"];
    let command = texts(&server["command"]);
    let (verb, flags) = command.split_first().expect("a command");
    assert_eq!(*verb, "serve");
    let checked = ducat(&[&["config", "check"], flags].concat());
    assert!(stdout(&checked).contains("sound"));
    for port in ["4600", "9464"] {
        assert!(flags.iter().any(|flag| flag.ends_with(&format!(":{port}"))), "{port}: {flags:?}");
    }
    // Plain text leaves the machine by no port.
    for service in services.as_object().expect("services").values() {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().expect("a text").starts_with("127.0.0.1:"), "{port}");
        }
    }
    assert_eq!(server["read_only"], true);
    assert_eq!(texts(&server["cap_drop"]), ["ALL"]);
    let volume = texts(&server["volumes"])[0];
    let file = read("deploy/container/Containerfile");
    assert!(volume.ends_with(instruction(&file, "VOLUME ")[0]), "{volume}");
    // Every file that is mounted is there.
    let here = root().join("deploy/compose");
    for service in ["prometheus", "grafana", "collector"] {
        for mount in texts(&services[service]["volumes"]) {
            let (file, rest) = mount.split_once(':').expect("a mount");
            assert!(here.join(file).is_file() && rest.ends_with(":ro"), "{mount}");
        }
    }
    let context = server["build"]["context"].as_str().expect("a text");
    let dockerfile = server["build"]["dockerfile"].as_str().expect("a text");
    assert!(here.join(context).join(dockerfile).is_file());
    let prometheus = yaml("deploy/compose/prometheus.yml");
    let targets = &prometheus["scrape_configs"][0]["static_configs"][0]["targets"];
    assert_eq!(texts(targets), ["ducat:9464"]);
    assert_eq!(texts(&prometheus["rule_files"]), ["ducat.rules.yml"]);
    let source = yaml("deploy/compose/grafana/datasource.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let boards = yaml("deploy/compose/grafana/dashboards.yaml");
    let path = boards["providers"][0]["options"]["path"].as_str().expect("a path");
    let mounted = texts(&services["grafana"]["volumes"]);
    assert!(mounted.iter().any(|mount| mount.contains(&format!(":{path}/"))), "{path}");
}

/// The server tells its traces to the composed collector, in plain text that does not leave its own network, and
/// the collector is made of what it names.
#[test]
fn composed_traces_come_to_a_collector() {
    let compose = yaml("deploy/compose/compose.yaml");
    let (server, collector) = (&compose["services"]["ducat"], &compose["services"]["collector"]);
    let config = yaml("deploy/compose/collector.yaml");
    let flags = texts(&server["command"]).split_off(1);
    let endpoint = flags.iter().find_map(|flag| flag.strip_prefix("--traces-endpoint=http://"));
    let endpoint = endpoint.expect("traces are told");
    assert_eq!(config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"], endpoint);
    assert_eq!(collector["network_mode"], "service:ducat", "loopback is the server's own");
    // By a name of another container it would be refused.
    let elsewhere = endpoint.replace("127.0.0.1", "collector");
    let named: Vec<String> = flags.iter().map(|flag| flag.replace(endpoint, &elsewhere)).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let refused = ducat(&[&["config", "check"], &named[..]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("https"), "{refused:?}");
    // The file that it is told to read is the one that is mounted.
    let told = texts(&collector["command"])[0].strip_prefix("--config=").expect("a file");
    let mounts = texts(&collector["volumes"]);
    assert_eq!(mounts, [format!("./collector.yaml:{told}:ro")]);
    let image = collector["image"].as_str().expect("a text");
    // Figures of spans are made by a part that the smaller image lacks.
    assert!(image.contains("-contrib:") && told.contains("otelcol-contrib"), "{image}");
    let has =
        |kinds: &[&str], name: &str| kinds.iter().any(|kind| config[*kind].get(name).is_some());
    let service = &config["service"];
    for name in texts(&service["extensions"]) {
        assert!(has(&["extensions"], name), "{name}");
    }
    let pipelines = service["pipelines"].as_object().expect("pipelines");
    for (pipeline, parts) in pipelines {
        for (part, kinds) in [
            ("receivers", &["receivers", "connectors"][..]),
            ("processors", &["processors"]),
            ("exporters", &["exporters", "connectors"]),
        ] {
            let names = parts.get(part).map(texts).unwrap_or_default();
            assert!(part == "processors" || !names.is_empty(), "{pipeline} has no {part}");
            assert!(names.iter().all(|name| has(kinds, name)), "{pipeline}: {names:?}");
        }
    }
    assert_eq!(texts(&pipelines["traces"]["receivers"]), ["otlp"]);
    assert_eq!(texts(&pipelines["traces"]["processors"])[0], "memory_limiter");
    // And Prometheus asks where it tells.
    let figures = config["exporters"]["prometheus"]["endpoint"].as_str().expect("a text");
    let (_, port) = figures.rsplit_once(':').expect("a port");
    let prometheus = yaml("deploy/compose/prometheus.yml");
    let targets = &prometheus["scrape_configs"][1]["static_configs"][0]["targets"];
    assert_eq!(texts(targets), [format!("ducat:{port}")]);
}

/// The configuration in the manifest is sound in the profile production, with certificates where
/// the secret puts them.
#[test]
fn the_manifests_configuration_is_one_that_serves() {
    let all = documents("deploy/kubernetes/ducat.yaml");
    let config = of_kind(&all, "ConfigMap")["data"]["ducat.toml"].as_str().expect("a file");
    let place = place();
    let certs = place.path().join("certs");
    stdout(&ducat(&["certs", "dev", "--dir", text(&certs)]));
    for file in ["server.pem", "server.key", "ca.pem"] {
        assert!(config.contains(&format!("/etc/ducat/tls/{file}\"")), "{file}");
        assert!(certs.join(file).is_file(), "{file}");
    }
    let master = certs.join("master.key");
    stdout(&ducat(&["keys", "generate", text(&master)]));
    assert!(config.contains("/etc/ducat/keys/master.key\""));
    let here = config.replace("/etc/ducat/tls", text(&certs));
    let here = here.replace("/etc/ducat/keys", text(&certs));
    let file = place.path().join("ducat.toml");
    fs::write(&file, here).expect("written");
    let said = stdout(&ducat(&["config", "check", "--config", text(&file)]));
    assert!(said.contains("sound") && said.contains("tls 1.3"), "{said}");
    let spoiled = fs::read_to_string(&file).expect("there").replace("drain_timeout_ms", "drain_ms");
    fs::write(&file, spoiled).expect("written");
    assert!(!ducat(&["config", "check", "--config", text(&file)]).status.success());
}

#[test]
fn the_manifest_says_what_the_server_does() {
    let all = documents("deploy/kubernetes/ducat.yaml");
    let config = of_kind(&all, "ConfigMap")["data"]["ducat.toml"].as_str().expect("a file");
    let set = of_kind(&all, "StatefulSet");
    assert_eq!(set["spec"]["replicas"], 1, "a ledger has one writer");
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    // Ports by name, where the server listens.
    let ports: Vec<(&str, u64)> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| {
            (
                port["name"].as_str().expect("a name"),
                port["containerPort"].as_u64().expect("a port"),
            )
        })
        .collect();
    assert_eq!(ports, [("grpc", 4600), ("metrics", 9464)]);
    for (_, port) in &ports {
        assert!(config.contains(&format!("0.0.0.0:{port}\"")), "{port}");
    }
    let service = of_kind(&all, "Service")["spec"]["ports"].as_array().expect("ports");
    let named: BTreeSet<&str> =
        service.iter().map(|port| port["targetPort"].as_str().expect("a name")).collect();
    assert_eq!(named, BTreeSet::from(["grpc", "metrics"]));
    for (probe, path) in
        [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path, "{probe}");
        assert_eq!(container[probe]["httpGet"]["port"], "metrics", "{probe}");
    }
    // A drain ends before the process is killed.
    let drain = config.lines().find_map(|line| line.strip_prefix("drain_timeout_ms = "));
    let drain_ms: u64 = drain.expect("set").parse().expect("a number");
    let grace_s = pod["terminationGracePeriodSeconds"].as_u64().expect("set");
    assert!(1_000 * grace_s >= drain_ms + 30_000, "{grace_s} s for a drain of {drain_ms} ms");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    // The ledger lies on the volume, the configuration where the arguments say.
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let paths: Vec<&str> =
        mounts.iter().map(|mount| mount["mountPath"].as_str().expect("a path")).collect();
    let data = config.lines().find_map(|line| line.strip_prefix("data_dir = "));
    let data = Path::new(data.expect("set").trim_matches('"'));
    assert!(
        paths.iter().any(|path| data.starts_with(path) && data != Path::new(path)),
        "{paths:?}"
    );
    // The image's variable is stronger than the file, and says the same.
    let image = read("deploy/container/Containerfile");
    assert!(image.contains(&format!("ENV DUCAT_DATA_DIR={}\n", data.display())));
    let args = texts(&container["args"]);
    assert!(args.contains(&"--config=/etc/ducat/ducat.toml"), "{args:?}");
    assert!(paths.contains(&"/etc/ducat/ducat.toml") && paths.contains(&"/etc/ducat/tls"));
}
