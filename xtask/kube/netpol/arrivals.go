package netpol

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// arrivalLimit is how long a pod's containers wait for their walls before its network is set up anew.
const arrivalLimit = 10 * time.Second

// arrivals are pods whose address is known from their node before the API server knows it.
type arrivals struct {
	mutex     sync.Mutex
	addresses map[types.UID]string
	inForce   map[string]string // pod ID to address
	advanced  chan struct{}     // closed when inForce changes
	note      func()            // asks for a new table
}

func newArrivals(note func()) *arrivals {
	return &arrivals{addresses: map[types.UID]string{}, advanced: make(chan struct{}), note: note}
}

// ServeHTTP takes {"uid": …, "address": …} and answers when that pod's walls are in force.
func (a *arrivals) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	var pod struct {
		UID     types.UID `json:"uid"`
		Address string    `json:"address"`
	}
	if err := json.NewDecoder(request.Body).Decode(&pod); err != nil || pod.UID == "" || pod.Address == "" {
		http.Error(response, "a pod needs uid and address", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(request.Context(), arrivalLimit)
	defer cancel()
	if err := a.arrive(ctx, pod.UID, pod.Address); err != nil {
		http.Error(response, err.Error(), http.StatusGatewayTimeout)
		return
	}
	response.WriteHeader(http.StatusNoContent)
}

func (a *arrivals) arrive(ctx context.Context, uid types.UID, address string) error {
	a.mutex.Lock()
	a.addresses[uid] = address
	a.mutex.Unlock()
	a.note()
	for {
		a.mutex.Lock()
		done, advanced := a.inForce[podID(uid)] == address, a.advanced
		a.mutex.Unlock()
		if done {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return fmt.Errorf("the walls of pod %s are not in force yet", uid)
		}
	}
}

// complete gives pods that have arrived their address, and forgets arrivals that the API server has caught up with.
func (a *arrivals) complete(pods []*corev1.Pod) []*corev1.Pod {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	completed := make([]*corev1.Pod, 0, len(pods))
	for _, pod := range pods {
		if address, arrived := a.addresses[pod.UID]; arrived {
			if pod.Status.PodIP == address {
				delete(a.addresses, pod.UID)
			} else {
				// The API server knows none yet, or the one before: that of a pod whose network was set up anew.
				pod = pod.DeepCopy()
				pod.Status.PodIP = address
			}
		}
		completed = append(completed, pod)
	}
	return completed
}

// enforced tells those who wait what the kernel holds now.
func (a *arrivals) enforced(pods []Pod) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.inForce = make(map[string]string, len(pods))
	for _, pod := range pods {
		a.inForce[pod.ID] = pod.Address
	}
	close(a.advanced)
	a.advanced = make(chan struct{})
}
