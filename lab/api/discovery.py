"""What the API says about itself: versions, groups, resources and just enough OpenAPI for kubectl.

kubectl asks OpenAPI two things before it writes: whether the server validates fields itself (it does not, but saying
so keeps kubectl from needing schemas), and how lists merge (absent, it uses its own types).
Source: Kubernetes API concepts ("API Discovery"); k8s.io/cli-runtime resource.QueryParamVerifier.
"""

from collections.abc import Iterable

from lab.api.errors import Obj, no_such_path
from lab.api.paths import Target
from lab.api.resources import Registry, Resource

# The release whose API the lab resembles; kubectl warns when it is far from its own.
VERSION = "1.32"
# Clients ask for "...v2@v1.0+protobuf", which is no valid media type: older ones refuse to read it in an answer.
OPENAPI_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def version() -> Obj:
    major, minor = VERSION.split(".")
    build = {"gitVersion": f"v{VERSION}.0+weft-lab", "gitCommit": "", "gitTreeState": "", "buildDate": ""}
    return {"major": major, "minor": minor, "goVersion": "", "compiler": "", "platform": "linux"} | build


def core_versions() -> Obj:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups(registry: Registry) -> Obj:
    found = [_group(name, versions) for name, versions in registry.group_versions().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(registry: Registry, name: str) -> Obj:
    """Raises ApiError 404 for a group that is not served."""
    versions = registry.group_versions().get(name)
    if versions is None:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, versions)


def resources(registry: Registry, target: Target) -> Obj:
    """Raises ApiError 404 for a group version that is not served."""
    found = registry.of(target.group, target.version)
    if not found:
        raise no_such_path()
    entries = [entry for resource in found for entry in resource.discovery()]
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": found[0].api_version}
    return head | {"resources": entries}


def openapi_v2() -> Obj:
    """A document without definitions: clients then skip validation by schema."""
    return {"swagger": "2.0", "info": _info(), "paths": {}, "definitions": {}}


def openapi_v3_index(registry: Registry) -> Obj:
    places = sorted({_root(resource) for resource in registry})
    return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in places}}


def openapi_v3(registry: Registry, place: str) -> Obj:
    """The document of one group version, as in `api/v1`. Raises ApiError 404 for one that is not served."""
    found = [resource for resource in registry if _root(resource) == place]
    if not found:
        raise no_such_path()
    return {"openapi": "3.0.0", "info": _info(), "paths": dict(_openapi_paths(found)), "components": {"schemas": {}}}


def _openapi_paths(found: Iterable[Resource]) -> Iterable[tuple[str, Obj]]:
    for resource in found:
        scope = "namespaces/{namespace}/" if resource.namespaced else ""
        gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        names = ("dryRun", "fieldManager", "fieldValidation", "force")
        parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
        # Only merge patch is listed: for strategic merge kubectl would look here for a schema of the kind.
        content: Obj = {"application/merge-patch+json": {"schema": {"type": "object"}}}
        patch: Obj = {"parameters": parameters, "requestBody": {"content": content}, "responses": {}}
        patch |= {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": gvk}
        yield f"/{_root(resource)}/{scope}{resource.plural}/{{name}}", {"patch": patch}


def _group(name: str, versions: list[str]) -> Obj:
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def _root(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def _info() -> Obj:
    return {"title": "Weft lab", "version": f"v{VERSION}.0"}
