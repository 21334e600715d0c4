"""PIRenderer: controllable portraits by semantic neural rendering (Ren et al., ICCV 2021)."""
