"""What the Pods of this node say of themselves: followed, so that an ADD need not ask for each."""

from collections.abc import Mapping

from cni.errors import CniError, ErrorCode
from cni.requested import PodArgs
from kube.changes import Applied, Change, Deleted, Listed
from kube.client import ApiClient
from kube.errors import ApiError, KubeError, ParseError
from kube.objects import Pod, parse_pod
from kube.resources import PODS


class PodBook:
    """Follows the Pods of a node, and asks the API for one that it has not heard of: a runtime may be faster than the
    watch."""

    def __init__(self, client: ApiClient, node: str) -> None:
        self._client = client
        self._node = node
        self._known: dict[str, Pod] = {}

    def apply(self, change: Change) -> None:
        """Take in a change of Pods."""
        if isinstance(change, Listed):
            kept = {key: pod for key, pod in self._known.items() if key in change.refused}
            self._known = kept | {pod.meta.key: pod for pod in change.objects if isinstance(pod, Pod)}
        elif isinstance(change, Applied) and isinstance(change.object, Pod):
            self._known[change.object.meta.key] = change.object
        elif isinstance(change, Deleted):
            self._known.pop(change.key, None)

    def annotations(self, args: PodArgs) -> Mapping[str, str]:
        """Those of just this pod; none when the API does not know it. CniError 11: the API cannot be asked."""
        pod = self._find(args)
        return pod.meta.annotations if pod is not None and pod.goes_by(args.uid) else {}

    def doubt(self, args: PodArgs) -> str:
        """Why no Pod of this node is the one that a runtime speaks of; "" when one is, or the API cannot be asked."""
        name = f"{args.namespace}/{args.pod}"
        try:
            pod = self._find(args)
        except CniError:
            return ""
        if pod is None:
            return f"the API has no Pod {name}"
        if not pod.goes_by(args.uid):
            return f"K8S_POD_UID={args.uid} is not that of Pod {name}, which is {pod.meta.uid}: it was made anew"
        if pod.node_name != self._node:
            return (
                f"Pod {name} is bound to {f'node {pod.node_name}' if pod.node_name else 'no node'}, not to this one"
            )
        return ""

    def _find(self, args: PodArgs) -> Pod | None:
        """The Pod of that name; the API is asked when the one known is not the one meant. Raises CniError."""
        known = self._known.get(f"{args.namespace}/{args.pod}")
        return known if known is not None and known.goes_by(args.uid) else self._ask(args)

    def _ask(self, args: PodArgs) -> Pod | None:
        try:
            return parse_pod(self._client.get(PODS, args.pod, args.namespace))
        except ApiError as e:
            if e.status == 404:
                return None
            raise _unknown(args, e) from e
        except (KubeError, ParseError) as e:
            raise _unknown(args, e) from e


def _unknown(args: PodArgs, error: Exception) -> CniError:
    return CniError(
        ErrorCode.TRY_AGAIN_LATER, f"Pod {args.namespace}/{args.pod}: its annotations are not known: {error}"
    )
