package workload

import autoscalingv2 "k8s.io/api/autoscaling/v2"

// horizontal are HorizontalPodAutoscalers. They leave a target with zero pods
// alone by themselves.
var horizontal = &scaler{
	kind:     autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
	least:    "minReplicas",
	most:     "maxReplicas",
	adapt:    func(*Pair, map[string]any) {},
	inherits: included,
	idles: func(spec map[string]any) bool {
		least, ok := spec["minReplicas"].(int64)
		return ok && least == 0
	},
}
