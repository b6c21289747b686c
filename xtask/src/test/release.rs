//! What `cargo xtask release --dry-run` makes is what it says: programs of each platform, an image and a chart that a registry takes and Helm and
//! skopeo fetch, bills of materials, a manifest by which the plugin is found, checksums that somebody signed. Compiles without optimization.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::shown;
use crate::progress::Progress;
use crate::release::{DARWIN_AMD64, DARWIN_ARM64};
use crate::{cluster, packages, process, python, workspace};

const NUMBER: &str = env!("CARGO_PKG_VERSION");
/// Where a release of this level would be found.
const DOWNLOADS: &str = "https://downloads.example/dataimporter";
const REPOSITORY: &str = "registry.example/dataimporter";
/// What makes the profile of releases quick to compile. Everything but the speed of the programs stays. Without any optimization a static
/// program of arm64 has more addresses of other parts than Debian's libm can reach, which was compiled for few.
const QUICK: [(&str, &str); 4] = [
    ("CARGO_PROFILE_DIST_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_DIST_LTO", "off"),
    ("CARGO_PROFILE_DIST_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_DIST_DEBUG", "0"),
];

/// CycloneDX's schema for its version 1.5, without tolerance for what it does not know.
const JUDGE: &str = "\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()))
";

pub(super) fn check(progress: &Progress) -> Result<()> {
    packages::install(progress, &[packages::QEMU, packages::WINE, packages::REGISTRY, packages::SKOPEO, packages::OPENSSL])?;
    let made = Made::by_a_dry_run()?;
    made.checksums_are_signed()?;
    println!("release: every file has its checksum, the same the second time, and the list is signed ... ok");
    made.programs_are_of_their_platforms()?;
    println!("release: programs are of their platforms, static where they run in pods, and arm64 validates examples as amd64 does ... ok");
    made.the_plugin_runs_on_windows()?;
    println!("release: the plugin of Windows says what that of Linux says ... ok");
    made.bills_say_what_is_in_it(progress)?;
    println!("release: bills of materials name what is in a program and nothing else ... ok");
    made.the_plugin_is_found()?;
    println!("release: krew's manifest has each archive with its checksum, of macOS one that was made elsewhere ... ok");
    made.a_registry_takes_it(progress)?;
    println!("release: a registry takes image and chart, and gives back the same ... ok");
    a_release_that_is_not_ready_is_refused()?;
    println!("release: a version that is not ready is refused with what is missing ... ok");
    the_plugin_compiles_for_macos(progress)
}

/// The folder of a release.
struct Made {
    folder: PathBuf,
    key: PathBuf,
}

fn release() -> Result<Command> {
    let mut release = Command::new(std::env::current_exe()?);
    release.arg("release").envs(QUICK).stdin(Stdio::null());
    Ok(release)
}

impl Made {
    fn by_a_dry_run() -> Result<Self> {
        let work = workspace::target().join("tests/release");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(work.join("also"))?;
        let made = Self { folder: work.join("publish"), key: work.join("key.pem") };
        process::output(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&made.key))?;
        let sign = work.join("sign");
        let script =
            format!("#!/bin/sh\nexec openssl pkeyutl -sign -rawin -inkey {} -in \"$1\" -out \"$1.sig\"\n", process::quoted(&made.key));
        fs::write(&sign, script)?;
        fs::set_permissions(&sign, fs::Permissions::from_mode(0o755))?;
        // As a Mac would have made it.
        fs::write(work.join("also").join(format!("kubectl-import-{NUMBER}-darwin-arm64.tar.gz")), "an archive of a Mac")?;
        let again = work.join("again");
        for folder in [&made.folder, &again] {
            let mut release = release()?;
            release.arg("--dry-run").arg("--into").arg(folder).arg("--sign").arg(&sign).arg("--also").arg(work.join("also"));
            shown(release.args(["--downloads", DOWNLOADS, "--repository", REPOSITORY]))?;
        }
        let [first, second] = [&made.folder, &again].map(|folder| fs::read_to_string(folder.join("SHA256SUMS")));
        ensure!(first? == second?, "of the same programs another release is packed the second time");
        Ok(made)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn json(&self, name: &str) -> Result<Value> {
        serde_json::from_slice(&fs::read(self.file(name)).with_context(|| format!("there is no {name}"))?)
            .with_context(|| format!("{name} is no JSON"))
    }

    fn checksums_are_signed(&self) -> Result<()> {
        let sums = fs::read_to_string(self.file("SHA256SUMS"))?;
        let listed: BTreeSet<&str> = sums.lines().filter_map(|line| Some(line.split_once("  ")?.1)).collect();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            ensure!(listed.contains(name.as_str()) || name.starts_with("SHA256SUMS"), "{name} has no checksum");
        }
        let check = || process::output(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&self.folder));
        check()?;
        let verify = || {
            let mut openssl = Command::new("openssl");
            openssl.args(["pkeyutl", "-verify", "-rawin", "-inkey"]).arg(&self.key).args([
                "-in",
                "SHA256SUMS",
                "-sigfile",
                "SHA256SUMS.sig",
            ]);
            process::output(openssl.current_dir(&self.folder))
        };
        verify()?;
        // Controls: one byte more in what is listed, and in the list.
        for (name, check) in [("release-notes.md", &check as &dyn Fn() -> Result<String>), ("SHA256SUMS", &verify)] {
            let before = fs::read(self.file(name))?;
            fs::OpenOptions::new().append(true).open(self.file(name))?.write_all(b"x")?;
            ensure!(check().is_err(), "control: {name} was changed, and nobody noticed");
            fs::write(self.file(name), before)?;
        }
        Ok(())
    }

    /// Takes an archive apart and answers where the program is.
    fn unpacked(&self, program: &str, platform: &str) -> Result<PathBuf> {
        let folder = self.folder.with_file_name("unpacked").join(format!("{program}-{platform}"));
        fs::create_dir_all(&folder)?;
        let archive = format!("{program}-{NUMBER}-{platform}");
        if platform.starts_with("windows") {
            let unzip = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
            process::output(Command::new("python3").args(["-c", unzip]).arg(self.file(&format!("{archive}.zip"))).arg(&folder))?;
        } else {
            process::output(Command::new("tar").arg("-xzf").arg(self.file(&format!("{archive}.tar.gz"))).arg("-C").arg(&folder))?;
        }
        let third_party = fs::read_to_string(folder.join("THIRD-PARTY-LICENSES"))?;
        for words in ["serde ", "tokio ", "Permission is hereby granted"] {
            ensure!(third_party.contains(words), "the licences of {archive} have no {words:?}");
        }
        ensure!(folder.join("LICENSE").exists(), "{archive} has no licence");
        let name = if platform.starts_with("windows") { format!("{program}.exe") } else { program.to_owned() };
        Ok(folder.join(name))
    }

    fn programs_are_of_their_platforms(&self) -> Result<()> {
        for (platform, machine) in [("linux-amd64", 62_u16), ("linux-arm64", 183)] {
            for program in ["dataimporter", "kubectl-import"] {
                let elf = fs::read(self.unpacked(program, platform)?)?;
                ensure!(
                    elf.starts_with(b"\x7fELF\x02\x01") && elf[18..20] == machine.to_le_bytes(),
                    "{program} of {platform} is for another machine"
                );
                ensure!(!asks_for_an_interpreter(&elf)?, "{program} of {platform} is not static");
            }
        }
        let exe = fs::read(self.unpacked("kubectl-import", "windows-amd64")?)?;
        let header = u32::from_le_bytes(exe.get(0x3c..0x40).context("it is no program")?.try_into()?) as usize;
        ensure!(
            exe.starts_with(b"MZ") && exe[header..].starts_with(b"PE\0\0\x64\x86"),
            "kubectl-import of windows-amd64 is no program of it"
        );
        let says = |program: &str, platform: &str, arguments: &[&str]| -> Result<String> {
            let program = self.unpacked(program, platform)?;
            let mut command = if platform == "linux-arm64" { Command::new("qemu-aarch64") } else { Command::new(&program) };
            command.args(if platform == "linux-arm64" { vec![program.as_os_str()] } else { Vec::new() }).args(arguments);
            process::output(command.current_dir(workspace::root()))
        };
        for (program, arguments) in
            [("dataimporter", &["--version"][..]), ("kubectl-import", &["--version"]), ("dataimporter", &["validate", "examples/sources"])]
        {
            let [native, emulated] = ["linux-amd64", "linux-arm64"].map(|platform| says(program, platform, arguments));
            let (native, emulated) = (native?, emulated?);
            ensure!(native == emulated && !native.is_empty(), "{program} {arguments:?} says {native:?} on amd64 and {emulated:?} on arm64");
            ensure!(arguments != ["--version"] || native.contains(NUMBER), "{program} is of version {native}");
        }
        Ok(())
    }

    /// Under Wine.
    fn the_plugin_runs_on_windows(&self) -> Result<()> {
        let [native, windows] = ["linux-amd64", "windows-amd64"].map(|platform| self.unpacked("kubectl-import", platform));
        let (native, windows) = (native?, windows?);
        let mut compile = Command::new("x86_64-w64-mingw32-gcc");
        compile.args(["-shared", "-o"]).arg(windows.with_file_name("bcryptprimitives.dll"));
        process::output(compile.arg(workspace::root().join("xtask/wine/bcryptprimitives.c")).arg("-ladvapi32"))?;
        for arguments in [&["--version"][..], &["intake", "-f", "examples/sources/s3.yaml"]] {
            let mut wine = Command::new(packages::WINE_PROGRAM);
            wine.env("WINEPREFIX", self.folder.with_file_name("wine")).env("WINEDEBUG", "-all").arg(&windows);
            let under_wine = process::output(wine.args(arguments).current_dir(workspace::root()))?;
            let said = process::output(Command::new(&native).args(arguments).current_dir(workspace::root()))?;
            ensure!(
                under_wine == said && !said.is_empty(),
                "kubectl-import {arguments:?} says {said:?} on Linux and {under_wine:?} on Windows"
            );
        }
        Ok(())
    }

    fn bills_say_what_is_in_it(&self, progress: &Progress) -> Result<()> {
        // checkov brings CycloneDX's own library with it.
        let python = python::environment(progress, "checkov")?.join("bin/python");
        let file = self.folder.with_file_name("bill.json");
        let judged = |bill: &Value| -> Result<String> {
            fs::write(&file, bill.to_string())?;
            process::output(Command::new(&python).args(["-c", JUDGE]).arg(&file))
        };
        for (program, platform) in [
            ("dataimporter", "linux-amd64"),
            ("dataimporter", "linux-arm64"),
            ("kubectl-import", "linux-amd64"),
            ("kubectl-import", "windows-amd64"),
        ] {
            let bill = self.json(&format!("{program}-{NUMBER}-{platform}.cdx.json"))?;
            let verdict = judged(&bill)?;
            ensure!(verdict.trim() == "None", "{program} for {platform} has no bill of CycloneDX 1.5: {verdict}");
            let mut wrong = bill.clone();
            wrong["components"][0]["type"] = "thing".into();
            ensure!(judged(&wrong)?.trim() != "None", "control: a component of an unknown type was passed");
            let components = bill["components"].as_array().context("it lists components")?;
            let names: BTreeSet<&str> = components.iter().filter_map(|component| component["name"].as_str()).collect();
            ensure!(
                names.contains("tokio") && names.contains("rustls") && names.contains("explain"),
                "{program} for {platform}: {names:?}"
            );
            for absent in ["insta", "testkit", "clap_derive", "salesforce-emulator"] {
                ensure!(!names.contains(absent), "{program} for {platform} has {absent}, which is in no program");
            }
            // A program of Windows has nothing that only runs in pods.
            ensure!(names.contains("engine") == platform.starts_with("linux"), "{program} for {platform}: {names:?}");
            let references: BTreeSet<&str> = components.iter().filter_map(|component| component["bom-ref"].as_str()).collect();
            let own = bill["metadata"]["component"]["bom-ref"].as_str().unwrap_or_default();
            for dependency in bill["dependencies"].as_array().context("it lists dependencies")? {
                for reference in dependency["dependsOn"].as_array().into_iter().flatten().chain([&dependency["ref"]]) {
                    let reference = reference.as_str().unwrap_or_default();
                    ensure!(
                        reference == own || references.contains(reference),
                        "{program} for {platform} names {reference} and does not list it"
                    );
                }
            }
            let program = self.unpacked(program, platform)?;
            ensure!(
                bill["metadata"]["component"]["hashes"][0]["content"] == workspace::digest(&program)?,
                "it is the bill of another program"
            );
        }
        Ok(())
    }

    fn the_plugin_is_found(&self) -> Result<()> {
        let manifest: Value = serde_saphyr::from_str(&fs::read_to_string(self.file("import.yaml"))?)?;
        let platforms = manifest["spec"]["platforms"].as_array().context("it lists platforms")?;
        let mut found = BTreeSet::new();
        for platform in platforms {
            let labels = &platform["selector"]["matchLabels"];
            let name = format!("{}-{}", labels["os"].as_str().unwrap_or_default(), labels["arch"].as_str().unwrap_or_default());
            let uri = platform["uri"].as_str().context("it says where")?;
            let file =
                uri.strip_prefix(DOWNLOADS).and_then(|rest| rest.strip_prefix('/')).with_context(|| format!("{uri} is elsewhere"))?;
            ensure!(platform["sha256"] == workspace::digest(&self.file(file))?, "{file} has another checksum");
            if !name.starts_with("darwin") {
                let program = self.unpacked("kubectl-import", &name)?;
                ensure!(
                    program.file_name().is_some_and(|file| platform["bin"] == *file.to_string_lossy()),
                    "{name} starts {}",
                    platform["bin"]
                );
            }
            found.insert(name);
        }
        let wanted = ["darwin-arm64", "linux-amd64", "linux-arm64", "windows-amd64"];
        ensure!(found.iter().eq(wanted.iter()), "it has {found:?}");
        Ok(())
    }

    fn a_registry_takes_it(&self, progress: &Progress) -> Result<()> {
        let helm = cluster::build(progress)?.program("helm");
        let registry = Registry::start(&self.folder.with_file_name("registry"))?;
        let at = |name: &str| format!("docker://{}/{name}:{NUMBER}", registry.address);
        let skopeo = |arguments: &[&str]| process::output(Command::new("skopeo").args(arguments));
        for (layout, name) in [("image", "dataimporter"), ("chart", "charts/dataimporter")] {
            let from = format!("oci-archive:{}", self.file(&format!("dataimporter-{layout}-{NUMBER}.oci.tar")).display());
            skopeo(&["copy", "--all", "--dest-tls-verify=false", &from, &at(name)])?;
        }
        let inspected = |more: &[&str]| -> Result<Value> {
            let image = at("dataimporter");
            Ok(serde_json::from_str(&skopeo(&[&["inspect", "--tls-verify=false"], more, &[&image]].concat())?)?)
        };
        let index = inspected(&["--raw"])?;
        let architectures: Vec<&str> = index["manifests"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|manifest| manifest["platform"]["architecture"].as_str())
            .collect();
        ensure!(architectures == ["amd64", "arm64"], "the registry has it for {architectures:?}");
        let digest = inspected(&[])?["Digest"].as_str().unwrap_or_default().to_owned();
        for architecture in architectures {
            let configuration = inspected(&["--config", &format!("--override-arch={architecture}")])?;
            ensure!(
                configuration["architecture"] == architecture && configuration["config"]["User"] == "65532:65532",
                "it is {configuration}"
            );
        }
        let fetched = self.folder.with_file_name("fetched");
        fs::create_dir_all(&fetched)?;
        let chart = format!("oci://{}/charts/dataimporter", registry.address);
        process::output(Command::new(&helm).args(["pull", &chart, "--version", NUMBER, "--plain-http"]).current_dir(&fetched))?;
        let chart = fetched.join(format!("dataimporter-{NUMBER}.tgz"));
        ensure!(
            workspace::digest(&chart)? == workspace::digest(&self.file(&format!("dataimporter-{NUMBER}.tgz")))?,
            "Helm fetched another chart"
        );
        let rendered =
            process::output(Command::new(&helm).args(["template", "dataimporter"]).arg(&chart).args(["--set", "regions={eu-frankfurt}"]))?;
        let image = format!("{REPOSITORY}@{digest}");
        ensure!(!digest.is_empty() && rendered.contains(&image), "the chart does not have the image {image}");
        ensure!(!rendered.contains("image: dataimporter"), "the chart has an image without a digest");
        Ok(())
    }
}

/// Whether the kernel would start another program, the dynamic linker, to start this one: a segment of type PT_INTERP.
fn asks_for_an_interpreter(elf: &[u8]) -> Result<bool> {
    let number = |at: usize, bytes: usize| -> Result<u64> {
        let field = elf.get(at..at + bytes).context("the file ends in its header")?;
        Ok(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let (table, size, count) = (usize::try_from(number(32, 8)?)?, usize::try_from(number(54, 2)?)?, usize::try_from(number(56, 2)?)?);
    for segment in 0..count {
        if number(table + segment * size, 4)? == 3 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A registry of this machine. It ends with this.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let address = format!("127.0.0.1:{}", process::free_port()?);
        let configuration = folder.join("registry.yaml");
        let storage = process::quoted(folder);
        fs::write(
            &configuration,
            format!(
                "{{version: 0.1, log: {{level: error}}, storage: {{filesystem: {{rootdirectory: {storage}}}}}, http: {{addr: '{address}'}}}}\n"
            ),
        )?;
        let log = fs::File::create(folder.join("registry.log"))?;
        let mut serve = Command::new("docker-registry");
        serve.arg("serve").arg(&configuration).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let registry = Self { process: serve.spawn().context("cannot start docker-registry")?, address };
        process::wait_until("the registry", Duration::from_secs(30), || Ok(TcpStream::connect(&registry.address).map(drop)?))?;
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn a_release_that_is_not_ready_is_refused() -> Result<()> {
    let mut release = release()?;
    let said = process::output(release.args(["--sign", "true"])).err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains(&format!("version {NUMBER} is not ready")) && said.contains("git tag --annotate"), "it says {said:?}");
    Ok(())
}

/// Linking takes files of Apple; the compiler needs only to know C's headers, which zig brings.
fn the_plugin_compiles_for_macos(progress: &Progress) -> Result<()> {
    let zig = python::environment(progress, "zig")?;
    for (platform, target) in [(&DARWIN_ARM64, "aarch64-macos"), (&DARWIN_AMD64, "x86_64-macos")] {
        platform.prepare(progress)?;
        let folder = workspace::target().join("tests/release").join(platform.name);
        fs::create_dir_all(&folder)?;
        let python = process::quoted(&zig.join("bin/python"));
        // What the compiler is told of Apple's own it does not know.
        let compiler = format!(
            "#!/bin/bash\narguments=()\nfor word in \"$@\"; do\n  case \"$word\" in\n    --target=*|-mmacosx-version-min=*|-isysroot|{0}) ;;\n    \
             *) arguments+=(\"$word\") ;;\n  esac\ndone\nexec {python} -m ziglang cc -target {target} \"${{arguments[@]}}\"\n",
            folder.display()
        );
        for (name, script) in [("cc", compiler), ("ar", format!("#!/bin/sh\nexec {python} -m ziglang ar \"$@\"\n"))] {
            fs::write(folder.join(name), script)?;
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755))?;
        }
        let variable = platform.triple.replace('-', "_");
        let mut cargo = process::cargo();
        cargo.args(["check", "--locked", "--package", "dataimporter", "--bin", "kubectl-import", "--target", platform.triple]);
        cargo.env(format!("CC_{variable}"), folder.join("cc")).env(format!("AR_{variable}"), folder.join("ar")).env("SDKROOT", &folder);
        let log = folder.join("check.log");
        let what = format!("checking the plugin for {}", platform.name);
        progress.during(&what, || crate::programs::last_line(&log), || process::logged(cargo.current_dir(workspace::root()), &log))?;
        println!("release: the plugin compiles for {} ... ok", platform.name);
    }
    Ok(())
}
